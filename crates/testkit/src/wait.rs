use std::time::{Duration, Instant};

const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks again and again until `look` gives a value, and returns it.
///
/// # Panics
/// When `within` is over; says what was waited for and the last reason why it was not so.
pub async fn until_ok<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let why = match look().await {
            Ok(value) => return value,
            Err(why) => why,
        };
        assert!(
            begun.elapsed() < within,
            "waited {} ms in vain until {what}; last: {why}",
            within.as_millis()
        );
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Looks again and again until `holds`.
///
/// # Panics
/// When `within` is over.
pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let look = async || {
        if holds().await {
            Ok(())
        } else {
            Err("not so".to_owned())
        }
    };
    until_ok(what, within, look).await;
}
