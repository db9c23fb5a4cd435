//! The only place that reads clocks.

use std::time::Instant;

/// UTC, milliseconds since 1970-01-01: for records. It can jump.
#[allow(clippy::disallowed_methods)]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Milliseconds of a clock that never jumps and counts suspended time too (CLOCK_BOOTTIME): for leases and the fence.
pub fn boot_ms() -> i64 {
    boot_us() / 1000
}

/// Like [`boot_ms`], in microseconds.
pub fn boot_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// For durations inside one process.
pub fn instant() -> Instant {
    Instant::now()
}

/// Whole milliseconds since `start`.
pub fn elapsed_ms(start: Instant) -> i64 {
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Whole microseconds since `start`.
pub fn elapsed_us(start: Instant) -> i64 {
    i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// ISO 8601 in UTC with milliseconds: `2026-11-24T06:11:34.123Z`. Times that no calendar has become the epoch.
pub fn iso_utc(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// Reads what [`iso_utc`] writes (and any other RFC 3339 time).
pub fn parse_iso_utc(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

/// The UTC day of a time: `2026-11-24`.
pub fn utc_day(ms: i64) -> String {
    iso_utc(ms).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        assert_eq!(iso_utc(1_764_000_694_120), "2025-11-24T16:11:34.120Z");
        assert_eq!(iso_utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_iso_utc("2025-11-24T16:11:34.120Z"), Some(1_764_000_694_120));
        assert_eq!(utc_day(1_764_000_694_120), "2025-11-24");
        assert!(boot_ms() > 0);
    }
}
