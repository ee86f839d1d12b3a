//! Numbers with units, as people write and read them.

use std::time::Duration;

/// Reads a number, with a unit of time or size if there is one: `5ms` is 0.005, `2M` two million,
/// `1%` a hundredth.
pub(crate) fn number_of(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "m" | "min" => 60.0,
        "%" => 0.01,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * unit)
}

/// Reads `30`, `30s`, `500ms` or `2min`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = number_of(text).filter(|n| (0.0..=86_400.0 * 7.0).contains(n));
    let seconds = seconds.ok_or("write seconds, or a number with ms, s or min")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Bytes for people: 1.50 GB.
pub(crate) fn bytes_in_words(bytes: f64) -> String {
    let (unit, name) = match bytes {
        1e9.. => (1e9, "GB"),
        1e6.. => (1e6, "MB"),
        1e3.. => (1e3, "kB"),
        _ => return format!("{bytes:.0} B"),
    };
    format!("{:.2} {name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert!(duration("-1").is_err());
    }

    #[test]
    fn bytes_have_units() {
        let words = [12.0, 1500.0, 2e6, 3.5e9].map(bytes_in_words);
        assert_eq!(words, ["12 B", "1.50 kB", "2.00 MB", "3.50 GB"]);
    }
}
