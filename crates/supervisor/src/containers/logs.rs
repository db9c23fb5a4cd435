use std::collections::HashMap;
use std::pin::pin;

use bollard::container::LogOutput;
use futures_util::{Stream, StreamExt};
use thunes_runtime::clock;

use crate::containers::ContainerError;

/// Most text that one reading of a log gives; more is refused, never cut short in silence.
pub const LOG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a container wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// One whole line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine read its beginning, by the host's clock.
    pub at_ms: i64,
    pub stream: LogStream,
    /// Without its newline.
    pub text: String,
}

/// Puts the engine's frames together to lines that begin at `since_ms` or later, in the order of their times.
pub(crate) async fn gather(
    service: &str,
    frames: impl Stream<Item = Result<LogOutput, ContainerError>>,
    since_ms: i64,
) -> Result<Vec<LogLine>, ContainerError> {
    let mut lines = Vec::new();
    let mut begun: HashMap<LogStream, (i64, Vec<u8>)> = HashMap::new();
    let mut bytes = 0;
    let mut frames = pin!(frames);
    while let Some(frame) = frames.next().await {
        let (stream, frame) = match frame? {
            LogOutput::StdErr { message } => (LogStream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                (LogStream::Stdout, message)
            }
        };
        let (at_ms, text) = timed(&frame)?;
        // A line of more than 16 KiB comes in several frames, of which only the last ends with a newline.
        let (first_ms, line) = begun.entry(stream).or_insert((at_ms, Vec::new()));
        bytes += if *first_ms >= since_ms { text.len() } else { 0 };
        if bytes > LOG_BYTES_MAX {
            return Err(ContainerError::LogTooLarge {
                service: service.to_owned(),
                bytes_max: LOG_BYTES_MAX,
            });
        }
        line.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        if text.ends_with(b"\n") {
            let line = begun.remove(&stream).filter(|(first_ms, _)| *first_ms >= since_ms);
            lines.extend(line.map(|(at_ms, text)| LogLine {
                at_ms,
                stream,
                text: String::from_utf8_lossy(&text).into_owned(),
            }));
        }
    }
    // Stable: lines of one millisecond stay in the order in which the engine wrote them down.
    lines.sort_by_key(|line| line.at_ms);
    Ok(lines)
}

/// `2026-11-24T06:11:34.123456789Z text`
fn timed(frame: &[u8]) -> Result<(i64, &[u8]), ContainerError> {
    let time = |at: usize| clock::parse_iso_utc(std::str::from_utf8(&frame[..at]).ok()?);
    let split = frame.iter().position(|byte| *byte == b' ');
    let (at, at_ms) = split
        .and_then(|at| Some((at, time(at)?)))
        .ok_or(ContainerError::Malformed {
            call: "logs",
            what: "the time of a line",
        })?;
    Ok((at_ms, &frame[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> Result<LogOutput, ContainerError> {
        Ok(LogOutput::StdOut {
            message: text.to_owned().into(),
        })
    }

    fn err(text: &str) -> Result<LogOutput, ContainerError> {
        Ok(LogOutput::StdErr {
            message: text.to_owned().into(),
        })
    }

    async fn gathered(frames: Vec<Result<LogOutput, ContainerError>>, since_ms: i64) -> Vec<(LogStream, String)> {
        let lines = gather("x", futures_util::stream::iter(frames), since_ms).await;
        lines
            .expect("gathered")
            .into_iter()
            .map(|line| (line.stream, line.text))
            .collect()
    }

    #[tokio::test]
    async fn long_lines_are_joined_per_stream_and_lines_stand_in_the_order_of_their_times() {
        let frames = vec![
            out("1970-01-01T00:00:01.000000001Z too early\n"),
            out("1970-01-01T00:00:02.000000001Z be"),
            err("1970-01-01T00:00:03.000000000Z between\n"),
            out("1970-01-01T00:00:02.500000000Z gun\n"),
            err("1970-01-01T00:00:02.100000000Z \n"),
            out("1970-01-01T00:00:04.000000000Z never ended"),
        ];
        let lines = gathered(frames, 2000).await;
        let expected = [
            (LogStream::Stdout, "begun"),
            (LogStream::Stderr, ""),
            (LogStream::Stderr, "between"),
        ];
        assert_eq!(lines, expected.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[tokio::test]
    async fn a_log_beyond_the_bound_is_refused_and_not_cut() {
        let line = format!("1970-01-01T00:00:02.0Z {}\n", "x".repeat(1024 * 1024));
        let frames = |count: usize| futures_util::stream::iter((0..count).map(|_| out(&line)).collect::<Vec<_>>());
        assert_eq!(gather("x", frames(15), 0).await.expect("fits").len(), 15);
        assert!(matches!(
            gather("x", frames(16), 0).await,
            Err(ContainerError::LogTooLarge { .. })
        ));
        assert_eq!(
            gather("x", frames(20), 3000).await.expect("too early to count").len(),
            0
        );
        let nonsense = vec![out("no time\n")];
        assert!(gather("x", futures_util::stream::iter(nonsense), 0).await.is_err());
    }
}
