//! Each file of `cases/` holds one edit: the question and the answer are in the comments at its top.

// What is not as a test expects ends the test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;

use tagboat_image::Reference;
use tagboat_manifest::{WorkloadId, set_image};

struct Case {
    workload: WorkloadId,
    container: String,
    to: Reference,
    answer: Answer,
}

enum Answer {
    /// One line changes, to this, whatever its indent.
    Becomes(String),
    /// Nothing changes, and that is right.
    Unchanged,
    /// Nothing changes, and the reason holds this text.
    Refused(String),
}

fn read(text: &str) -> Case {
    let comment = |key: &str| {
        let lead = format!("# {key}");
        text.lines().take(4).find_map(|line| line.strip_prefix(&lead)).map(|rest| rest.trim_start_matches(':').trim())
    };
    let answer = match (comment("becomes"), comment("refused"), comment("unchanged")) {
        (Some(line), None, None) => Answer::Becomes(line.to_owned()),
        (None, Some(reason), None) => Answer::Refused(reason.to_owned()),
        (None, None, Some(_)) => Answer::Unchanged,
        _ => panic!("a case has one answer"),
    };
    Case {
        workload: comment("workload").expect("a workload").parse().expect("a workload's name"),
        container: comment("container").expect("a container").to_owned(),
        to: comment("to").expect("an image").parse().expect("a reference"),
        answer,
    }
}

/// What is wrong with the outcome of a case, if anything.
fn check(text: &str) -> Result<(), String> {
    let case = read(text);
    let outcome = set_image(text, &case.workload, &case.container, &case.to);
    match (case.answer, outcome) {
        (Answer::Refused(reason), Err(error)) if error.to_string().contains(&reason) => Ok(()),
        (Answer::Unchanged, Ok(edited)) if !edited.changed && edited.text == text => Ok(()),
        (Answer::Becomes(line), Ok(edited)) if edited.changed => {
            let (old, new): (Vec<_>, Vec<_>) = (text.split('\n').collect(), edited.text.split('\n').collect());
            let changed: Vec<_> = (0..old.len().max(new.len())).filter(|&at| old.get(at) != new.get(at)).collect();
            match changed[..] {
                [at] if old.len() == new.len() && new[at].trim() == line && edited.images[0].line == at + 1 => {}
                _ => return Err(format!("lines {changed:?} changed:\n{}", edited.text)),
            }
            // Once more changes nothing.
            match set_image(&edited.text, &case.workload, &case.container, &case.to) {
                Ok(again) if !again.changed && again.text == edited.text => Ok(()),
                other => Err(format!("again: {other:?}")),
            }
        }
        (_, Ok(edited)) => Err(format!("changed: {}\n{}", edited.changed, edited.text)),
        (_, Err(error)) => Err(format!("refused: {error}")),
    }
}

#[test]
fn every_case_has_its_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the cases").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() > 50, "{} cases", paths.len());
    let mut failures = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a readable case");
        if let Err(failure) = check(&text) {
            failures.push(format!("{}: {failure}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Line ends, a byte-order mark and the lack of a last newline are not the edit's business.
#[test]
fn bytes_around_the_tag_stay_whatever_they_are() {
    let text = include_str!("cases/shape-b-tag.yaml");
    let case = read(text);
    let variants = [
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        text.trim_end().to_owned(),
        format!("{text}\n\n# end\n...\n"),
    ];
    for before in variants {
        let edited = set_image(&before, &case.workload, &case.container, &case.to).expect("an edit");
        assert_eq!(edited.text, before.replace("tag: main-1", "tag: main-2"));
    }
}
