//! Prices replayed from a CSV of klines in the exchange's own column order: open time, open, high, low, close, ….

use rust_decimal::Decimal;

use super::money::parse_decimal;

/// Lines a replay file may have.
const MAX_LINES: usize = 1_000_000;

/// Reads a CSV of klines into the prices to walk through: open, the nearer extreme, the farther one, close.
/// A first line whose second column is no number is taken as a header.
///
/// # Errors
/// Names the line and the column that cannot be read.
pub fn parse_klines_csv(text: &str) -> Result<Vec<Decimal>, String> {
    let mut prices = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if index >= MAX_LINES {
            return Err(format!("more than {MAX_LINES} lines"));
        }
        let columns: Vec<&str> = line.split(',').map(|c| c.trim().trim_matches('"')).collect();
        if columns.len() < 5 {
            return Err(format!(
                "line {}: {} columns, at least 5 are needed",
                index + 1,
                columns.len()
            ));
        }
        let parsed: Vec<_> = columns[1..5]
            .iter()
            .map(|c| parse_decimal(c).ok().filter(|p| !p.is_zero()))
            .collect();
        if index == 0 && parsed.iter().all(Option::is_none) {
            continue;
        }
        let [Some(open), Some(high), Some(low), Some(close)] = parsed[..] else {
            return Err(format!("line {}: columns 2 to 5 must be prices above zero", index + 1));
        };
        if high < low || open > high || open < low || close > high || close < low {
            return Err(format!(
                "line {}: open and close must lie between low and high",
                index + 1
            ));
        }
        let path = if close >= open {
            [open, low, high, close]
        } else {
            [open, high, low, close]
        };
        prices.extend(path);
    }
    if prices.is_empty() {
        Err("no kline in the file".to_owned())
    } else {
        Ok(prices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_kline_names_its_line() {
        assert_eq!(parse_klines_csv(""), Err("no kline in the file".to_owned()));
        assert!(parse_klines_csv("1,2,3\n").unwrap_err().contains("line 1"));
        assert!(
            parse_klines_csv("t,open,high,low,close\n1,10,9,8,9\n")
                .unwrap_err()
                .contains("line 2")
        );
        let prices = parse_klines_csv("t,open,high,low,close\n1,10,12,9,11,5\n").unwrap();
        assert_eq!(
            prices.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10", "9", "12", "11"]
        );
    }
}
