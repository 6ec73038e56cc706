//! The table for people.

use jiff::Timestamp;
use std::fmt::Write as _;
use tagboat_engine::report::{AppState, StatusView, WorkloadView};
use unicode_width::UnicodeWidthStr;

const HEADINGS: [&str; 6] = ["WORKLOAD", "STATE", "IMAGE", "HEALTH", "SINCE", "NEXT"];

/// Renders everything; `wide` adds where an image is set and why it is what it is.
pub fn render(status: &StatusView, wide: bool, colour: bool) -> String {
    let mut rows: Vec<[String; 6]> = vec![HEADINGS.map(str::to_owned)];
    let mut states = vec![None];
    let mut notes = vec![Vec::new()];
    for item in &status.items {
        let mut first = true;
        for container in &item.containers {
            let image = match (&container.current, &container.target) {
                (Some(current), Some(target)) => format!("{} -> {}", version(current), version(target)),
                (Some(current), None) => version(current).to_owned(),
                (None, _) => "?".to_owned(),
            };
            let name = if item.containers.len() > 1 {
                format!("{} {}", item.workload, container.name)
            } else {
                item.workload.to_string()
            };
            rows.push([
                name,
                item.state.word().to_owned(),
                image,
                item.health.as_ref().map(|health| health.reason.clone()).unwrap_or_default(),
                since(item, status.time),
                if first { next(item) } else { String::new() },
            ]);
            states.push(Some(item.state));
            notes.push(vec![
                format!("{}:{}", item.file, container.line),
                format!("{}: {}", container.action, container.reason.text),
                item.release.as_ref().map(|release| release.message.clone()).unwrap_or_default(),
            ]);
            first = false;
        }
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    for ((row, state), notes) in rows.iter().zip(states).zip(notes) {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.width() + 2);
            match state.filter(|_| colour && index == 1).map(paint) {
                Some(code) => {
                    let _ = write!(line, "\u{1b}[{code}m{cell}\u{1b}[0m{padding}");
                }
                None => {
                    let _ = write!(line, "{cell}{padding}");
                }
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if wide {
            for note in notes.iter().filter(|note| !note.is_empty()) {
                let _ = writeln!(text, "    {note}");
            }
        }
    }
    summary(&mut text, status);
    text
}

fn summary(text: &mut String, status: &StatusView) {
    let mut counts: Vec<(AppState, usize)> = Vec::new();
    for item in &status.items {
        match counts.iter_mut().find(|(state, _)| *state == item.state) {
            Some((_, count)) => *count += 1,
            None => counts.push((item.state, 1)),
        }
    }
    counts.sort();
    let counted: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {}", state.word())).collect();
    let _ = write!(text, "{} workloads", status.items.len());
    if !counted.is_empty() {
        let _ = write!(text, ": {}", counted.join(", "));
    }
    text.push('\n');
    for source in &status.sources {
        let revision = source.mirrored.as_ref().map_or("nothing yet", |revision| revision.short());
        let _ = write!(text, "{}: {revision} mirrored", source.name);
        if let Some(at) = source.mirrored_at {
            let _ = write!(text, " {} ago", ago(at, status.time));
        }
        let errors = source.problems.iter().filter(|problem| problem.error).count();
        if errors > 0 {
            let _ = write!(text, ", {errors} problems");
        }
        text.push('\n');
        if let Some(error) = &source.error {
            let _ = writeln!(text, "  error: {error}");
        }
        for problem in source.problems.iter().filter(|problem| problem.error) {
            let _ = writeln!(text, "  {}:{}: {}", problem.file, problem.line, problem.text);
        }
    }
    if status.controller.observe {
        text.push_str("mode: observe; nothing is written\n");
    }
}

/// The tag or digest of a reference, which is what tells images of one workload apart.
fn version(reference: &str) -> &str {
    let after_host = reference.rfind('/').map_or(0, |slash| slash + 1);
    reference[after_host..].split_once(':').map_or(reference, |(_, version)| version)
}

fn next(item: &WorkloadView) -> String {
    match &item.hold {
        Some(hold) => hold.text.clone(),
        None if !item.automated => "automation off".to_owned(),
        None => item.because.clone(),
    }
}

fn since(item: &WorkloadView, now: Timestamp) -> String {
    let at = item.health.as_ref().map(|health| health.since).or(item.release.as_ref().map(|release| release.since));
    at.map(|at| ago(at, now)).unwrap_or_default()
}

/// A span in its largest unit: `42s`, `3m`, `14h`, `6d`.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn paint(state: AppState) -> &'static str {
    match state {
        AppState::Failed | AppState::Blocked => "31",
        AppState::Releasing | AppState::Waiting => "34",
        AppState::Paused | AppState::Held => "33",
        AppState::Healthy => "32",
        AppState::Unknown => "2",
    }
}
