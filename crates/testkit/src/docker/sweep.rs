use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder,
};

/// Everything that a test makes on the engine bears it, with [`Run`] as its value.
pub(super) const TEST_LABEL: &str = "io.thunes.test";

/// Which process made something: by its pid and its start, since pids come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pid: u32,
    started: u64,
}

impl Run {
    pub(super) fn of_this_process() -> Self {
        let pid = std::process::id();
        let started = start_of(pid).expect("this process is in /proc");
        Self { pid, started }
    }

    pub(super) fn label(&self) -> String {
        format!("{}-{}", self.pid, self.started)
    }

    fn parse(label: &str) -> Option<Self> {
        let (pid, started) = label.split_once('-')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    /// Whoever made it is gone, and was there before us: a process of another container is not seen here, and what it
    /// makes now is not ours to remove.
    fn was_left_behind(&self, by: &Run) -> bool {
        self != by && self.started < by.started && start_of(self.pid) != Some(self.started)
    }
}

/// In clock ticks since boot.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Removes what test processes left behind that ended before this one began.
pub(super) async fn sweep(docker: &Docker, ours: &Run) {
    let stale = |labels: Option<HashMap<String, String>>| {
        let run = labels.and_then(|labels| Run::parse(labels.get(TEST_LABEL)?));
        run.is_some_and(|run| run.was_left_behind(ours))
    };
    remove(docker, TEST_LABEL.to_owned(), stale).await;
}

/// Removes containers, networks and images that bear `label`, where `chosen` says so of all their labels.
pub(super) async fn remove(docker: &Docker, label: String, chosen: impl Fn(Option<HashMap<String, String>>) -> bool) {
    let filters = HashMap::from([("label".to_owned(), vec![label])]);
    let all = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    for container in docker.list_containers(Some(all)).await.unwrap_or_default() {
        if let (true, Some(id)) = (chosen(container.labels), container.id) {
            let by_force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            // Somebody else may sweep the same at this moment; so everywhere here.
            let _ = docker.remove_container(&id, Some(by_force)).await;
        }
    }
    let all = ListNetworksOptionsBuilder::default().filters(&filters).build();
    for network in docker.list_networks(Some(all)).await.unwrap_or_default() {
        if let (true, Some(id)) = (chosen(network.labels), network.id) {
            let _ = docker.remove_network(&id).await;
        }
    }
    let all = ListImagesOptionsBuilder::default().filters(&filters).build();
    for image in docker.list_images(Some(all)).await.unwrap_or_default() {
        if chosen(Some(image.labels)) {
            let by_force = RemoveImageOptionsBuilder::default().force(true).build();
            let _ = docker.remove_image(&image.id, Some(by_force), None).await;
        }
    }
}
