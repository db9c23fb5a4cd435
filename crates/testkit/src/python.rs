use tokio::process::Command;

/// Whether `THUNES_REQUIRE` names this optional part: then its absence fails instead of skipping.
pub fn required(part: &str) -> bool {
    std::env::var("THUNES_REQUIRE").is_ok_and(|parts| parts.split(',').any(|named| named.trim() == part))
}

/// A Python interpreter (`THUNES_PYTHON`, or `python3`) that can import `modules`; None, said aloud, where there is none.
///
/// # Panics
/// When there is none and `THUNES_REQUIRE` names python.
pub async fn python_with(modules: &str, install: &str) -> Option<String> {
    let python = std::env::var("THUNES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output()
        .await;
    if probe.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(
        !required("python"),
        "THUNES_REQUIRE names python, but {python} cannot import {modules}: {install}"
    );
    println!("skipped: {python} cannot import {modules} ({install})");
    None
}
