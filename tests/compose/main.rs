//! A whole environment in containers, as `docker-compose.yml` describes it. Needs Docker, docker-compose and an image: the
//! one that `THUNES_TEST_IMAGE` names, or one that these tests build. Without Docker they are skipped, unless
//! `THUNES_REQUIRE` names docker.

mod bounds;
mod docker;
mod drills;
mod environment;
mod file;
mod isolation;
mod neighbours;
mod operation;
mod trouble;
