//! `zoetrope config check`: what becomes of every key.

use std::io::{self, Write};

use crate::config_file::{Finding, Loaded, Origin, Severity};

/// Writes one line for each key and a verdict. True: a server would start, also with `--strict`.
pub fn report(loaded: &Loaded, out: &mut dyn Write) -> io::Result<bool> {
    let wide = |text: fn(&Finding) -> String| {
        loaded.findings.iter().map(|finding| text(finding).chars().count()).max().unwrap_or(0)
    };
    let (place_width, key_width) = (wide(place), wide(setting).min(48));
    for finding in &loaded.findings {
        writeln!(
            out,
            "{:place_width$}  {:key_width$}  {}{}",
            place(finding),
            setting(finding),
            mark(finding.severity),
            finding.text
        )?;
    }
    let wrong = loaded.refuses(true).count();
    match wrong {
        0 => writeln!(out, "OK")?,
        1 => writeln!(out, "1 line to correct")?,
        wrong => writeln!(out, "{wrong} lines to correct")?,
    }
    Ok(wrong == 0)
}

fn place(finding: &Finding) -> String {
    match &finding.origin {
        Some(Origin::File { line, .. }) => format!("line {line}"),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn setting(finding: &Finding) -> String {
    match (&finding.key, &finding.value) {
        (Some(key), Some(value)) if is_secret(key) && !value.is_empty() => format!("{key} = ***"),
        (Some(key), Some(value)) => format!("{key} = {value}"),
        (Some(key), None) => key.clone(),
        (None, _) => String::new(),
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("password") || key.ends_with("superdigest")
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Honoured | Severity::Note => "",
        Severity::Warning => "WARNING: ",
        Severity::Mistake | Severity::Error => "ERROR: ",
    }
}
