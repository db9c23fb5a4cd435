/// The whole style: light, dark and on paper; nothing is fetched.
pub(super) const STYLE: &str = r#"
:root { color-scheme: light dark; --bg:#ffffff; --fg:#1b1f24; --dim:#57606a; --line:#d0d7de; --card:#f6f8fa;
  --pass:#116329; --fail:#b3261e; --inconclusive:#8a5a00; --aborted:#5b4b8a; --bar:#3b6ea8; }
@media (prefers-color-scheme: dark) { :root { --bg:#0f1318; --fg:#e6edf3; --dim:#9aa5b1; --line:#30363d; --card:#171c23;
  --pass:#4ac26b; --fail:#ff7b72; --inconclusive:#e3b341; --aborted:#b79cf0; --bar:#6ea8e8; } }
* { box-sizing: border-box; }
body { margin:0 auto; max-width:1080px; padding:24px; background:var(--bg); color:var(--fg);
  font:15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin:0; font-size:28px; } h2 { margin:36px 0 8px; font-size:21px; } h3 { margin:20px 0 6px; font-size:16px; }
header { border:1px solid var(--line); border-left:10px solid var(--mark, var(--dim)); border-radius:8px; padding:18px 22px;
  background:var(--card); }
.headline { font-size:34px; font-weight:700; color:var(--mark); margin:4px 0; }
.dim { color:var(--dim); } code, pre { font-family:ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size:13px; }
pre { margin:6px 0; padding:10px; overflow-x:auto; white-space:pre-wrap; overflow-wrap:anywhere; background:var(--card);
  border:1px solid var(--line); border-radius:6px; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; margin:8px 0; }
th, td { text-align:left; vertical-align:top; padding:6px 10px; border-bottom:1px solid var(--line); }
th { color:var(--dim); font-weight:600; } td.number { text-align:right; white-space:nowrap; font-variant-numeric:tabular-nums; }
.pass { --mark:var(--pass); } .fail { --mark:var(--fail); } .inconclusive { --mark:var(--inconclusive); }
.aborted { --mark:var(--aborted); }
.verdict { color:var(--mark); font-weight:700; white-space:nowrap; }
.notice { border:1px solid var(--line); border-left:6px solid var(--inconclusive); border-radius:6px; padding:8px 14px;
  margin:12px 0; background:var(--card); }
.why { color:var(--mark); } details { margin:4px 0; } summary { cursor:pointer; color:var(--dim); }
svg { width:100%; height:auto; display:block; } svg text { fill:var(--fg); font:12px system-ui, sans-serif; }
svg .dim { fill:var(--dim); } svg .grid { stroke:var(--line); stroke-width:1; }
svg .done { fill:var(--bar); } svg .failed { fill:var(--fail); } svg .skipped { fill:var(--line); }
@media print { body { max-width:none; padding:0; font-size:12px; } details { break-inside:avoid; }
  details:not([open]) > *:not(summary) { display:none; } tr { break-inside:avoid; } header { break-after:avoid; } }
"#;
