use std::future::Future;
use std::time::Duration;

use thunes_runtime::clock;

use crate::error::ActionError;

/// How often a condition is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// What one question gave.
#[derive(Debug)]
pub enum Ask<T> {
    Yes(T),
    /// Not yet, with what was seen instead.
    NotYet(String),
}

/// Asks until the answer is yes; a condition, never a guess at how long something takes.
///
/// # Errors
/// When `within` passed; the error says what was seen last.
pub async fn until<T, F>(what: &str, within: Duration, ask: impl FnMut() -> F) -> Result<T, ActionError>
where
    F: Future<Output = Ask<T>>,
{
    until_every(INTERVAL, what, within, ask).await
}

/// Like [`until`], for questions that cost the one who is asked: at most one in `interval`.
///
/// # Errors
/// As [`until`].
pub async fn until_every<T, F>(
    interval: Duration,
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<T, ActionError>
where
    F: Future<Output = Ask<T>>,
{
    let begun = clock::instant();
    loop {
        let last = match tokio::time::timeout(within, ask()).await {
            Ok(Ask::Yes(value)) => return Ok(value),
            Ok(Ask::NotYet(seen)) => seen,
            Err(_) => "no answer".to_owned(),
        };
        if begun.elapsed() >= within {
            return Err(ActionError::TimedOut {
                what: what.to_owned(),
                waited_ms: clock::elapsed_ms(begun),
                last,
            });
        }
        tokio::time::sleep(interval).await;
    }
}
