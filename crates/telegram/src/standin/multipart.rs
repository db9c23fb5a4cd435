/// Reads the text fields of a multipart form. None when it is malformed; files are passed over, since messages have none.
pub(crate) fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let boundary = parameter(content_type, "boundary")?;
    let text = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    let mut parts = text.split(delimiter.as_str());
    // What stands before the first delimiter means nothing.
    parts.next()?;
    let mut found = Vec::new();
    for part in parts {
        if part.starts_with("--") {
            return Some(found);
        }
        let (head, value) = part.strip_prefix("\r\n")?.split_once("\r\n\r\n")?;
        let disposition = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        if parameter(disposition, "filename").is_none() {
            found.push((parameter(disposition, "name")?, value.strip_suffix("\r\n")?.to_owned()));
        }
    }
    // No closing delimiter: the body was cut off.
    None
}

/// The value of one `; name=value` parameter of a header.
fn parameter(header: &str, name: &str) -> Option<String> {
    header
        .split(';')
        .skip(1)
        .filter_map(|part| part.trim().split_once('='))
        .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    #[test]
    fn values_keep_their_line_breaks_and_files_are_passed_over() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"text\"\r\nContent-Type: text/plain\r\n\r\none\r\n\r\ntwo\r\n--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbytes\r\n--XX--\r\n";
        assert_eq!(
            fields(TYPE, body.as_bytes()),
            Some(vec![("text".to_owned(), "one\r\n\r\ntwo".to_owned())])
        );
    }

    #[test]
    fn a_body_that_was_cut_off_is_malformed() {
        let whole = "--XX\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\none\r\n--XX--";
        assert!(fields(TYPE, whole.as_bytes()).is_some());
        for end in 0..whole.len() {
            assert_eq!(fields(TYPE, &whole.as_bytes()[..end]), None, "cut at {end}");
        }
    }
}
