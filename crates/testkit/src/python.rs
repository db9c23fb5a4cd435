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
    python_for("python", "THUNES_PYTHON", modules, install).await
}

/// Like [`python_with`], for another optional part with an interpreter of its own: `variable`, or `python3`.
///
/// # Panics
/// When there is none and `THUNES_REQUIRE` names `part`.
pub async fn python_for(part: &str, variable: &str, modules: &str, install: &str) -> Option<String> {
    let python = std::env::var(variable).unwrap_or_else(|_| "python3".to_owned());
    let arguments = ["-c", &format!("import {modules}")];
    if runs(&python, &arguments).await {
        return Some(python);
    }
    absent(part, &format!("{python} cannot import {modules}"), install);
    None
}

/// Whether a program is there; said aloud where it is not.
///
/// # Panics
/// When it is not, and `THUNES_REQUIRE` names `part`.
pub async fn program_for(part: &str, program: &str, install: &str) -> bool {
    let there = runs(program, &["--version"]).await;
    if !there {
        absent(part, &format!("{program} cannot be run"), install);
    }
    there
}

async fn runs(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output().await;
    output.is_ok_and(|output| output.status.success())
}

fn absent(part: &str, why: &str, install: &str) {
    assert!(!required(part), "THUNES_REQUIRE names {part}, but {why}: {install}");
    println!("skipped: {why} ({install})");
}
