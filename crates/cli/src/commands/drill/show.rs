use std::path::Path;

use serde_json::Value;
use thunes_drill::{read_report, render_html, render_markdown};

use super::{Format, ShowArgs, remote};
use crate::call::Context;

/// Prints the report of a file, or of the folder that holds it.
pub fn file(args: &ShowArgs, context: &Context) -> anyhow::Result<u8> {
    let path = Path::new(&args.what);
    let path = if path.is_dir() {
        path.join("report.json")
    } else {
        path.to_owned()
    };
    let report = read_report(&path)?;
    match args.format.wanted(context.out) {
        Format::Json => context
            .out
            .result(&report, || serde_json::to_string_pretty(&report).unwrap_or_default())?,
        Format::Html => context.out.result(&report, || render_html(&report))?,
        Format::Markdown => context.out.result(&report, || render_markdown(&report))?,
    }
    Ok(0)
}

/// Prints the report of a run at an orchestrator.
pub async fn remote(url: &str, args: &ShowArgs, context: &Context) -> anyhow::Result<u8> {
    let format = args.format.wanted(context.out);
    let text = remote::report(url, &args.what, format.proto(), context).await?;
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
    context.out.result(&value, || text)?;
    Ok(0)
}
