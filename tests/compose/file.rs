//! `docker-compose.yml` is valid for Compose 1.29, which the other tests run, and by the specification that Compose 2 follows.

use std::time::Duration;

use thunes_testkit::python_with;
use tokio::process::Command;

use crate::docker::finish;
use crate::environment::{Compose, Turn};

const VALIDATE: &str = "
import sys
from compose_spec import PyCompose
PyCompose.from_yaml(sys.argv[1]).validate()
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_valid_by_the_compose_specification() {
    let Some(turn) = Turn::wait().await else { return };
    let Some(python) = python_with("compose_spec", "pip install compose-spec").await else {
        return;
    };
    // With the variables put in: the validator knows no interpolation.
    let whole = Compose::new(&turn).run(&["--profile", "observability", "config"]).await;
    whole.assert_exit(0);
    for (text, valid) in [
        (whole.out.clone(), true),
        (whole.out.replacen("read_only: true", "read_onyl: true", 1), false),
        (whole.out.replacen("internal: true", "internal: 7", 1), false),
    ] {
        let mut validator = Command::new(&python);
        validator.args(["-c", VALIDATE, &text]);
        let said = finish(validator, Duration::from_secs(30)).await;
        assert_eq!(said.exit == Some(0), valid, "{}", said.err);
    }
}
