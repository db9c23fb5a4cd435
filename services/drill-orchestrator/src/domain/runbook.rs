use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use sha2::{Digest, Sha256};

/// The operator's runbook, whose marked blocks a drill executes as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Runbook<'a> {
    text: &'a str,
}

/// A fenced block that a drill's marker stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The heading above it.
    pub section: String,
    /// The commands, byte for byte.
    pub commands: String,
    /// Lines that the runbook promises in the output, in this order; empty when it promises none.
    pub expected: Vec<String>,
}

enum Marker {
    Commands,
    Expected,
}

impl<'a> Runbook<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Of the whole text, hex.
    pub fn sha256(self) -> String {
        hex::encode(Sha256::digest(self.text.as_bytes()))
    }

    pub fn contains(self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The blocks marked `<!-- drill:NAME -->`, in their order; a block marked `<!-- drill:NAME expect -->` is the
    /// promised output of the block before it.
    pub fn blocks(self, name: &str) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let (mut section, mut marker, mut text) = (String::new(), None, String::new());
        let (mut in_heading, mut in_block) = (false, false);
        for event in Parser::new(self.text) {
            match event {
                Event::Start(Tag::Heading { .. }) => (in_heading, section) = (true, String::new()),
                Event::End(TagEnd::Heading(_)) => in_heading = false,
                Event::Text(part) | Event::Code(part) if in_heading => section.push_str(&part),
                Event::Html(html) => marker = read_marker(&html, name).or(marker),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => (in_block, text) = (true, String::new()),
                Event::Text(part) if in_block => text.push_str(&part),
                Event::End(TagEnd::CodeBlock) => {
                    in_block = false;
                    add(&mut blocks, marker.take(), &section, &text);
                }
                // A marker counts only when the block follows it at once.
                Event::Start(Tag::Paragraph) => marker = None,
                _ => {}
            }
        }
        blocks
    }
}

fn add(blocks: &mut Vec<Block>, marker: Option<Marker>, section: &str, text: &str) {
    match marker {
        Some(Marker::Commands) => {
            blocks.push(Block {
                section: section.to_owned(),
                commands: text.to_owned(),
                expected: Vec::new(),
            });
        }
        Some(Marker::Expected) => {
            if let Some(block) = blocks.last_mut() {
                block.expected = text
                    .lines()
                    .map(str::trim_end)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .collect();
            }
        }
        None => {}
    }
}

fn read_marker(html: &str, name: &str) -> Option<Marker> {
    let inner = html.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    match inner
        .strip_prefix("drill:")?
        .split_whitespace()
        .collect::<Vec<_>>()
        .as_slice()
    {
        [named] if *named == name => Some(Marker::Commands),
        [named, "expect"] if *named == name => Some(Marker::Expected),
        _ => None,
    }
}

impl Block {
    /// The promised lines that the output does not have in the promised order.
    pub fn missing_in(&self, output: &str) -> Vec<String> {
        let mut lines = output.lines().map(str::trim_end);
        self.expected
            .iter()
            .filter(|wanted| !lines.by_ref().any(|line| line.contains(wanted.as_str())))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Book\n\n## Off `now`\n\n<!-- drill:t2 -->\n```bash\nthunes a \\\n  --b \"c d\"\n```\n\n\
        <!-- drill:t2 expect -->\n```text\none\ntwo\n```\n\n```bash\nnot marked\n```\n\n<!-- drill:t4 -->\n```bash\nother\n```\n\
        \n<!-- drill:t2 -->\n\nwords between\n\n```bash\nnot mine\n```\n";

    #[test]
    fn only_marked_blocks_are_taken_and_byte_for_byte() {
        let blocks = Runbook::new(TEXT).blocks("t2");
        assert_eq!(blocks.len(), 1, "{blocks:?}");
        assert_eq!(blocks[0].commands, "thunes a \\\n  --b \"c d\"\n");
        assert_eq!(blocks[0].section, "Off now");
        assert_eq!(blocks[0].expected, ["one", "two"]);
        assert_eq!(Runbook::new(TEXT).blocks("t4")[0].commands, "other\n");
        assert!(Runbook::new(TEXT).blocks("t9").is_empty());
    }

    #[test]
    fn p11_output_in_another_order_or_incomplete_is_a_deviation() {
        let block = &Runbook::new(TEXT).blocks("t2")[0];
        assert!(block.missing_in("zero\n  one!\ntwo\n").is_empty());
        assert_eq!(block.missing_in("two\none\n"), ["two"]);
        assert_eq!(block.missing_in(""), ["one", "two"]);
    }
}
