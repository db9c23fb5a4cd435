use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::environment::Place;
use crate::error::ActionError;

/// A copy that was taken while the service wrote is torn; another one is not.
const COPIES_MAX: usize = 5;

/// `PRAGMA integrity_check` of every database of the environment: its name, and what the check said.
///
/// # Errors
/// When a folder cannot be read or holds no database: nothing was checked then.
pub(super) async fn check_databases(place: &Place, scratch: &Path) -> Result<Vec<(String, String)>, ActionError> {
    let mut checked = Vec::new();
    for folder in place.database_dirs() {
        let paths = databases_in(&folder)?;
        if paths.is_empty() {
            return Err(ActionError::NotMet(format!("{} has no database", folder.display())));
        }
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let said = match place {
                Place::Own(_) => integrity(&path).await,
                // The folder is read only here, and a reader of a live database writes beside it.
                Place::Compose(_) => integrity_of_copy(&path, &scratch.join("run")).await,
            };
            checked.push((name, said.unwrap_or_else(|error| format!("cannot be checked: {error}"))));
        }
    }
    Ok(checked)
}

fn databases_in(folder: &Path) -> Result<Vec<PathBuf>, ActionError> {
    let entries = std::fs::read_dir(folder).map_err(ActionError::io(format!("{} cannot be read", folder.display())))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "db"));
    paths.sort();
    Ok(paths)
}

async fn integrity_of_copy(path: &Path, folder: &Path) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let copy = folder.join("integrity.db");
    let beside = |path: &Path, end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let mut said = Err("no copy was made".to_owned());
    for _ in 0..COPIES_MAX {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&copy, end));
        }
        std::fs::copy(path, &copy).map_err(text)?;
        match std::fs::copy(beside(path, "-wal"), beside(&copy, "-wal")) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
        said = integrity(&copy).await.map_err(|error| error.to_string());
        if said.as_deref() == Ok("ok") {
            break;
        }
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&copy, end));
    }
    said
}

async fn integrity(path: &Path) -> Result<String, String> {
    let check = async {
        let mut connection: SqliteConnection = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .connect()
            .await?;
        let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(lines.join("; "))
    };
    check.await.map_err(|error| error.to_string())
}
