//! JSON objects as people read them: rows of a table, or a line for each field.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{
    failure::Failure,
    output::{self, plain},
};

/// A column: its head, and what stands in it.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) fn(&Value) -> String);

/// What is shown of peers.
pub(crate) const PEERS: [Column; 6] = [
    Column("PEER", |row| text(&row["peer"])),
    Column("AGENT", |row| text(&row["agent"])),
    Column("DIRECTION", |row| text(&row["direction"])),
    Column("RTT", |row| millis(&row["rtt_us"])),
    Column("AGE", |row| age(&row["age_s"])),
    Column("ADDRESS", |row| text(&row["address"])),
];

/// What is shown of bans.
pub(crate) const BANS: [Column; 3] = [
    Column("SUBJECT", |row| text(&row["subject"])),
    Column("STILL FOR", |row| still(&row["until_s"])),
    Column("REASON", |row| text(&row["reason"])),
];

/// What is shown of limits.
pub(crate) const LIMITS: [Column; 6] = [
    Column("LIMIT", |row| text(&row["limit"])),
    Column("LEVEL", |row| text(&row["level"])),
    Column("USED", |row| text(&row["used"])),
    Column("PEAK", |row| text(&row["peak"])),
    Column("MAX", |row| most(&row["max"])),
    Column("REFUSED", |row| text(&row["refused"])),
];

/// A list: a table for people, lines for programs.
pub(crate) fn all(all: &Value, as_json: bool, columns: &[Column]) -> Result<(), Failure> {
    let rows = all.as_array().map(Vec::as_slice).unwrap_or_default();
    if as_json {
        return rows
            .iter()
            .try_for_each(|row| output::result(&row.to_string()));
    }
    lines(rows, columns)
        .iter()
        .try_for_each(|line| output::result(line))
}

/// One object: for people, a line for each of its fields.
pub(crate) fn one(object: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::result(&object.to_string());
    }
    for (name, value) in object.as_object().into_iter().flatten() {
        let mut name = name.replace('_', " ");
        let values = match value {
            Value::Array(values) if values.is_empty() => &[Value::Null][..],
            Value::Array(values) => values,
            value => std::slice::from_ref(value),
        };
        for value in values {
            output::result(&format!("{name:<12} {}", plain(text(value))))?;
            name.clear();
        }
    }
    Ok(())
}

/// The head and the rows, in columns as wide as they need to be.
pub(crate) fn lines(rows: &[Value], columns: &[Column]) -> Vec<String> {
    let head = columns.iter().map(|column| column.0.to_owned()).collect();
    let body = rows.iter().map(|row| {
        columns
            .iter()
            .map(|column| plain((column.1)(row)))
            .collect()
    });
    let cells: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let width = |at: usize| {
        cells
            .iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// The number of a limit; one that nothing reaches is none.
fn most(value: &Value) -> String {
    if value.as_u64() == Some(u64::MAX) {
        return "none".to_owned();
    }
    text(value)
}

/// A value as people read it; `-` for nothing.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name}={}", text(value));
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(field)
                .collect::<Vec<_>>()
                .join(" ")
        }
        value => value.to_string(),
    }
}

/// Microseconds in milliseconds.
pub(crate) fn millis(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |us| format!("{:.1} ms", us / 1000.0))
}

/// Seconds in the largest unit that fits.
pub(crate) fn age(value: &Value) -> String {
    let Some(seconds) = value.as_u64() else {
        return "-".to_owned();
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

/// How long it is until then, in seconds since 1970.
fn still(until_s: &Value) -> String {
    let Some(until) = until_s.as_u64() else {
        return "until it is lifted".to_owned();
    };
    let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until));
    let left = until.and_then(|until| until.duration_since(SystemTime::now()).ok());
    age(&left.unwrap_or_default().as_secs().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be_and_control_characters_stay_out() {
        let rows = [
            json!({"subject": "192.0.2.0/24", "until_s": null, "reason": "a\u{1b}[2Jb"}),
            json!({"subject": "::1", "until_s": 0, "reason": ""}),
        ];
        let wanted = [
            "SUBJECT       STILL FOR           REASON",
            "192.0.2.0/24  until it is lifted  a\u{fffd}[2Jb",
            "::1           0 s",
        ];
        assert_eq!(lines(&rows, &BANS), wanted);
    }
}
