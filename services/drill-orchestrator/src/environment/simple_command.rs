/// Characters that mean something to a shell; a reader that is none must not guess at them.
const SHELL_ONLY: &str = "|&;<>()$`*?[]{}~!#=";

/// The commands of a runbook block as a place without a shell can run them: a line each, words with quotes, nothing else.
///
/// # Errors
/// Names the first line that only a shell can read, and why.
pub fn simple_commands(block: &str) -> Result<Vec<Vec<String>>, String> {
    let mut commands = Vec::new();
    for (line, number) in block.lines().zip(1..) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        commands.push(words(text).map_err(|why| format!("line {number}: {why}: {text}"))?);
    }
    Ok(commands)
}

fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            // Inside double quotes these still mean something.
            Some('"') if "$`\\!".contains(c) => return Err(format!("{c:?} needs a shell")),
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None if SHELL_ONLY.contains(c) || c == '\\' => return Err(format!("{c:?} needs a shell")),
            None => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes_are_read_as_a_shell_reads_them() {
        let block =
            "# first look\nthunes kill-switch status\n\nthunes trade --amount 20 --note 'it''s' \"two words\" \"\"\n";
        let commands = simple_commands(block).expect("simple");
        assert_eq!(commands[0], ["thunes", "kill-switch", "status"]);
        assert_eq!(
            commands[1],
            ["thunes", "trade", "--amount", "20", "--note", "its", "two words", ""]
        );
    }

    #[test]
    fn p11_what_only_a_shell_can_read_is_refused_and_not_guessed() {
        for line in [
            "tail -5 x | grep y",
            "thunes a && thunes b",
            "thunes a > file",
            "thunes $HOME",
            "thunes \"$HOME\"",
            "thunes `x`",
            "A=1 thunes",
            "thunes *.toml",
            "thunes a\\ b",
            "thunes 'open",
            "thunes a # why",
        ] {
            let error = simple_commands(line).expect_err(line);
            assert!(error.starts_with("line 1: "), "{error}");
        }
    }
}
