//! How a block of the runbook is executed.

use std::path::PathBuf;
use std::time::Duration;

use thunes_runtime::clock;

use crate::domain::{Block, Evidence, EvidenceKind};
use crate::engine::Context;
use crate::environment::{Command, CommandOutcome, simple_commands};
use crate::error::ActionError;

/// Read by bash before the block: shows each command, the line it stands on and the exit code of the one before it,
/// on a file of its own, so that the block itself runs exactly as it is written.
const TRACER: &str =
    "exec {BASH_XTRACEFD}>>\"$DRILL_TRACE\"\nPS4='+ line ${LINENO}, before it exit code $?: '\nset -x\n";

/// A block that was executed.
pub(super) struct Followed {
    pub block: Block,
    /// Of the whole block, or of the command at which it ended.
    pub outcome: CommandOutcome,
    pub commands: usize,
    pub evidence: Evidence,
    /// Who executed it, for the report.
    pub by: &'static str,
}

/// Executes a block as an operator in this place would.
///
/// # Errors
/// When it cannot be executed or does not end within `within`.
pub(super) async fn follow(
    context: &Context,
    block: Block,
    number: usize,
    within: Duration,
) -> Result<Followed, ActionError> {
    match context.environment.place.terminal().only_program {
        None => through_bash(context, block, number, within).await,
        Some(_) => command_by_command(context, block, number, within).await,
    }
}

async fn through_bash(
    context: &Context,
    block: Block,
    number: usize,
    within: Duration,
) -> Result<Followed, ActionError> {
    let folder = context.scratch().join("run").join("runbook");
    std::fs::create_dir_all(&folder).map_err(ActionError::io(format!("{} cannot be made", folder.display())))?;
    let path = |name: &str| folder.join(format!("{number}.{name}"));
    let write = |path: &PathBuf, text: &str| {
        std::fs::write(path, text).map_err(ActionError::io(format!("{} cannot be written", path.display())))
    };
    let (script, tracer, trace) = (path("sh"), path("env"), path("trace"));
    write(&script, &block.commands)?;
    write(&tracer, TRACER)?;
    write(&trace, "")?;
    let terminal = context.environment.place.terminal();
    let command = Command::new(&terminal, "bash", &["-eu", &script.display().to_string()]);
    let outcome = command
        .env("BASH_ENV", &tracer)
        .env("DRILL_TRACE", &trace)
        .run(within)
        .await?;
    let traced = std::fs::read_to_string(&trace).unwrap_or_default();
    let text = format!(
        "{}\n--- as executed ---\n{traced}--- output ---\n{}",
        block.commands,
        outcome.describe()
    );
    let commands = traced.lines().filter(|line| line.starts_with('+')).count();
    Ok(Followed {
        evidence: evidence(&block, number, text),
        block,
        outcome,
        commands,
        by: "each block was given to `bash -eu` byte for byte",
    })
}

/// Without a shell, each line is one command of ours; what needs a shell is an error, never left out.
async fn command_by_command(
    context: &Context,
    block: Block,
    number: usize,
    within: Duration,
) -> Result<Followed, ActionError> {
    let commands = simple_commands(&block.commands).map_err(|why| {
        ActionError::NotMet(format!(
            "there is no shell here, and \"{}\" needs one: {why}",
            block.section
        ))
    })?;
    let terminal = context.environment.place.terminal();
    let begun = clock::instant();
    let (mut whole, mut text, mut done) = (None::<CommandOutcome>, block.commands.clone(), 0);
    for words in &commands {
        let Some((program, args)) = words.split_first() else {
            continue;
        };
        if program != "thunes" {
            return Err(ActionError::NotMet(format!(
                "{program:?} is not to be had in this place"
            )));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let left = within.saturating_sub(begun.elapsed());
        let outcome = Command::new(&terminal, program, &args).run(left).await?;
        done += 1;
        text.push_str(&format!("\n{}", outcome.describe()));
        let failed = outcome.code != Some(0);
        whole = Some(match whole {
            None => outcome,
            Some(before) => joined(before, outcome),
        });
        if failed {
            break;
        }
    }
    let outcome = whole.ok_or_else(|| ActionError::NotMet(format!("\"{}\" has no command", block.section)))?;
    Ok(Followed {
        evidence: evidence(&block, number, text),
        block,
        outcome,
        commands: done,
        by: "each line was run as one command, word for word; there is no shell in the image",
    })
}

fn joined(before: CommandOutcome, last: CommandOutcome) -> CommandOutcome {
    CommandOutcome {
        shown: last.shown,
        code: last.code,
        stdout: before.stdout + &last.stdout,
        stderr: before.stderr + &last.stderr,
        duration_ms: before.duration_ms + last.duration_ms,
    }
}

fn evidence(block: &Block, number: usize, text: String) -> Evidence {
    let title = format!("block {number}: {}", block.section);
    Evidence::new(EvidenceKind::Command, title, text)
}
