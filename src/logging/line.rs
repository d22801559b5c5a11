//! An event as a line: for people, or as an object of JSON. Control characters are escaped in both, so that a client's
//! bytes forge no event and steer no terminal.

use std::fmt::Write;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};

/// The sentence, behind time and level.
pub(super) fn text(time: &str, record: &Record<'_>) -> String {
    format!("{time} {} {}\n", name(record.level()), one_line(&record.args().to_string()))
}

/// An object with the sentence and all fields.
pub(super) fn json(time: &str, record: &Record<'_>) -> String {
    let mut line = format!("{{\"time\":\"{time}\",\"level\":\"{}\",\"message\":", name(record.level()));
    quote(&record.args().to_string(), &mut line);
    // The visitor never fails.
    let _always = record.key_values().visit(&mut Fields(&mut line));
    line.push_str("}\n");
    line
}

/// Redis' name of a level. It has none for errors, which are ours to see first.
fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "notice",
        Level::Debug => "verbose",
        Level::Trace => "debug",
    }
}

/// Adds fields to an object that is open.
struct Fields<'l>(&'l mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push(',');
        quote(key.as_str(), self.0);
        self.0.push(':');
        let number = value.to_u64().map(|number| number.to_string());
        let number = number.or_else(|| value.to_i64().map(|number| number.to_string()));
        let number = number.or_else(|| value.to_f64().filter(|it| it.is_finite()).map(|it| it.to_string()));
        match number.or_else(|| value.to_bool().map(|it| it.to_string())) {
            Some(plain) => self.0.push_str(&plain),
            None => quote(&value.to_string(), self.0),
        }
        Ok(())
    }
}

/// Writes a string of JSON.
fn quote(text: &str, line: &mut String) {
    line.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' | '\\' => line.extend(['\\', symbol]),
            '\n' => line.push_str("\\n"),
            control if control.is_control() => {
                write!(line, "\\u{:04x}", u32::from(control)).expect("a string can be written to");
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

/// A message without line breaks and terminal control.
pub(super) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for symbol in message.chars() {
        if symbol.is_control() { line.extend(symbol.escape_default()) } else { line.push(symbol) }
    }
    line
}

/// Microseconds since the Unix epoch in UTC, to the millisecond: `2026-01-31T12:00:00.123Z`.
pub(super) fn time(unix_us: u64) -> String {
    let (seconds, millis) = (unix_us / 1_000_000, unix_us / 1000 % 1000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day since the epoch, by the Gregorian calendar. Years are counted from March, so that the day
/// that leap years have comes last, and in eras of 400 years, which are all alike
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{json, one_line, text, time};
    use log::{Level, Record};

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(one_line("a\nb\r\t\u{1b}[31m é"), r"a\nb\r\t\u{1b}[31m é");
    }

    #[test]
    fn times_are_of_this_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(seconds * 1_000_000), shown);
        }
        assert_eq!(time(1_769_860_800_123_999), "2026-01-31T12:00:00.123Z");
    }

    #[test]
    fn an_event_has_its_fields_where_programs_read_it() {
        let fields: [(&str, log::kv::Value<'_>); 4] = [
            ("client", 5_u64.into()),
            ("seconds", 0.25.into()),
            ("rewrites", true.into()),
            ("addr", "a \"b\"\n\u{1b}".into()),
        ];
        let message = "closing \"it\":\n\u{1b}[31m é";
        let written = |write: fn(&str, &Record<'_>) -> String| {
            let arguments = format_args!("{message}");
            write("T", &Record::builder().level(Level::Warn).key_values(&fields).args(arguments).build())
        };
        let line = written(json);
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        let expected = serde_json::json!({
            "time": "T", "level": "warning", "message": message,
            "client": 5, "seconds": 0.25, "rewrites": true, "addr": "a \"b\"\n\u{1b}",
        });
        assert_eq!(value, expected);
        assert_eq!(written(text), "T warning closing \"it\":\\n\\u{1b}[31m é\n");
    }
}
