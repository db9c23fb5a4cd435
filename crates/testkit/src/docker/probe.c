/* What test containers run: one static program, so that an image needs nothing else. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked_to_end;

static void on_term(int signal) { asked_to_end = signal; }

static void pause_ms(long ms) {
    struct timespec span = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&span, NULL);
}

/* A line on each stream, one after the other, until SIGTERM. */
static int tick(int polite) {
    signal(SIGTERM, polite ? on_term : SIG_IGN);
    for (long n = 1; !asked_to_end; n++) {
        fprintf(stdout, "out %ld\n", n);
        fflush(stdout);
        fprintf(stderr, "err %ld\n", n);
        pause_ms(10);
    }
    printf("asked to end\n");
    return 7;
}

/* As many numbered lines as asked for, alternating between the streams, and one that is longer than a frame. */
static int flood(long lines) {
    for (long n = 1; n <= lines; n++) {
        FILE *to = n % 2 ? stdout : stderr;
        fprintf(to, "line %ld\n", n);
        fflush(to);
    }
    for (int n = 0; n < 100000; n++) putchar('x');
    printf("\nthe end\n");
    fflush(stdout);
    return tick(1);
}

/* Says again and again which address a name has. */
static int resolve(const char *name) {
    signal(SIGTERM, on_term);
    while (!asked_to_end) {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
        if (getaddrinfo(name, NULL, &hints, &found) == 0) {
            char text[64];
            inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text, sizeof text);
            printf("%s is %s\n", name, text);
            freeaddrinfo(found);
        } else {
            printf("%s is unknown\n", name);
        }
        fflush(stdout);
        pause_ms(20);
    }
    return 0;
}

/* HTTP 200 to everything, after a while. */
static int serve(int port, long ready_after_ms) {
    signal(SIGTERM, on_term);
    pause_ms(ready_after_ms);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = INADDR_ANY};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16)) return 1;
    while (!asked_to_end) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0) continue;
        char request[512];
        if (read(peer, request, sizeof request) >= 0) {
            const char *answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            if (write(peer, answer, strlen(answer)) < 0) perror("write");
        }
        close(peer);
    }
    return 0;
}

static int show(const char *path) {
    FILE *file = fopen(path, "r");
    char line[4096];
    while (file && fgets(line, sizeof line, file)) fputs(line, stdout);
    fflush(stdout);
    return tick(1);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "tick";
    if (!strcmp(what, "deaf")) return tick(0);
    if (!strcmp(what, "flood")) return flood(atol(words[2]));
    if (!strcmp(what, "resolve")) return resolve(words[2]);
    if (!strcmp(what, "serve")) return serve(atoi(words[2]), atol(words[3]));
    if (!strcmp(what, "show")) return show(words[2]);
    if (!strcmp(what, "well")) return 0;
    if (!strcmp(what, "fail")) {
        fprintf(stderr, "the disk is full\n");
        return 3;
    }
    return tick(1);
}
