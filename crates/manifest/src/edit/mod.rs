//! The edit: sets images, touching the bytes of their tags and nothing else.
//!
//! The scalar that holds the tag is found by its bytes, those alone are replaced, and the result is read again: unless
//! exactly the wanted values differ, the edit is refused and the text stays as it was.

mod error;
mod splice;

use std::collections::HashMap;

use tagboat_image::Reference;

use crate::id::WorkloadId;
use crate::images::{self, Image};
use crate::objects::{self, Found};
use crate::yaml::{self, Document, Fault, NodeId};
pub use error::{EditError, ImageName};
use splice::{Splice, new_value};

/// One image to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The workload; where a manifest names no namespace, it is in `default`.
    pub workload: WorkloadId,
    /// The container.
    pub container: String,
    /// What it is set to: the same repository, in any spelling, with another tag or digest.
    pub to: Reference,
}

/// A file after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// Whether it differs from what was given.
    pub changed: bool,
    /// What became of each change, in the order they were given.
    pub images: Vec<EditedImage>,
}

/// One image after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedImage {
    /// Whether it differs from what it was.
    pub changed: bool,
    /// The line of the value, from 1.
    pub line: usize,
    /// The image before, in the file's spelling.
    pub from: Reference,
    /// The image now, in the file's spelling.
    pub to: Reference,
}

/// Sets one image.
///
/// # Errors
/// See [`EditError`]; nothing is changed then.
pub fn set_image(text: &str, workload: &WorkloadId, container: &str, to: &Reference) -> Result<Edited, EditError> {
    let change = Change { workload: workload.clone(), container: container.to_owned(), to: to.clone() };
    set_images(text, std::slice::from_ref(&change))
}

/// Sets several images in one file: all of them, or none.
///
/// # Errors
/// See [`EditError`]; nothing is changed then.
pub fn set_images(text: &str, changes: &[Change]) -> Result<Edited, EditError> {
    let documents = yaml::load(text);
    let found: Vec<(usize, Found<'_, '_>)> = documents
        .iter()
        .enumerate()
        .filter_map(|(index, document)| Some((index, document.as_ref().ok()?)))
        // What is no object, or none that can be named, is not what is looked for.
        .flat_map(|(index, document)| {
            objects::objects(document, index + 1).into_iter().flatten().map(move |f| (index, f))
        })
        .filter(|(_, found)| found.workload_kind().is_some())
        .collect();

    let mut edited = Vec::with_capacity(changes.len());
    let mut splices: Vec<Splice> = Vec::new();
    for change in changes {
        let (document, found) = one_workload(&found, &documents, &change.workload)?;
        let image = one_image(found, change)?;
        let (outcome, splice) = plan(found, &image, change, document)?;
        edited.push(outcome);
        splices.extend(splice);
    }
    let splices = splice::merge(splices)?;
    if splices.is_empty() {
        return Ok(Edited { text: text.to_owned(), changed: false, images: edited });
    }
    let after = splice::apply(text, &splices);
    verify(&documents, &after, &splices)?;
    Ok(Edited { text: after, changed: true, images: edited })
}

fn one_workload<'f, 'd, 'a>(
    found: &'f [(usize, Found<'d, 'a>)],
    documents: &[Result<Document<'_>, Fault>],
    workload: &WorkloadId,
) -> Result<(usize, &'f Found<'d, 'a>), EditError> {
    let mut named = found.iter().filter(|(_, found)| found.id() == *workload);
    match (named.next(), named.next()) {
        (Some((index, found)), None) => match &found.duplicate {
            Some(duplicate) => Err(EditError::Obstacle {
                path: format!("the identity of {workload}"),
                line: found.place.line(),
                source: duplicate.clone(),
            }),
            None => Ok((*index, found)),
        },
        (Some((_, first)), Some((_, second))) => Err(EditError::Ambiguous {
            workload: workload.clone(),
            first_line: first.place.line(),
            second_line: second.place.line(),
        }),
        (None, _) => match documents.iter().find_map(|document| document.as_ref().err()) {
            Some(fault) => Err(EditError::Unreadable {
                workload: workload.clone(),
                line: fault.line,
                column: fault.column,
                text: fault.text.clone(),
            }),
            None => Err(EditError::NoWorkload {
                workload: workload.clone(),
                has: found.iter().map(|(_, found)| found.id()).collect(),
            }),
        },
    }
}

fn one_image<'d, 'a>(found: &Found<'d, 'a>, change: &Change) -> Result<Image<'d, 'a>, EditError> {
    let Some(kind) = found.workload_kind() else {
        return Err(EditError::NoWorkload { workload: change.workload.clone(), has: Vec::new() });
    };
    let mut images = images::images(kind, &found.place);
    let mut named = images.iter().enumerate().filter(|(_, image)| image.container == change.container);
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Ok(images.swap_remove(index)),
        (Some((_, first)), Some((_, second))) => Err(EditError::AmbiguousContainer {
            image: change.into(),
            first_line: first.target.line(),
            second_line: second.target.line(),
        }),
        (None, _) => Err(EditError::NoContainer {
            image: change.into(),
            has: images.into_iter().map(|image| image.container).collect(),
        }),
    }
}

fn plan(
    found: &Found<'_, '_>,
    image: &Image<'_, '_>,
    change: &Change,
    document: usize,
) -> Result<(EditedImage, Option<Splice>), EditError> {
    let line = image.target.line();
    let from = match &image.current {
        Ok(current) => current.clone(),
        Err(source) => return Err(EditError::Image { image: change.into(), line, source: Box::new(source.clone()) }),
    };
    if from.repository() != change.to.repository() {
        return Err(EditError::OtherRepository {
            image: change.into(),
            current: from.repository().clone(),
            to: change.to.repository().clone(),
        });
    }
    // Whatever was read must be unambiguous, even where the tag is all that changes.
    if let Some(source) = image.parts.iter().find_map(|part| part.duplicate.clone()) {
        return Err(EditError::Obstacle { path: image.path.clone(), line, source });
    }
    let value = new_value(&from, &change.to, image.shape, image.target.str().unwrap_or_default())
        .map_err(|reason| EditError::Version { image: change.into(), reason })?;
    let to = from.with_version_of(&change.to);
    let Some(value) = value else {
        return Ok((EditedImage { changed: false, line, to: from.clone(), from }, None));
    };
    if let Some(source) = image.target.obstacle.clone() {
        return Err(EditError::Obstacle { path: image.path.clone(), line, source });
    }
    let node = found.place.document.node(image.target.id);
    let splice = Splice::new(found.place.document.text, node, value)
        .map_err(|reason| EditError::Style { path: image.path.clone(), line, reason })?
        .at(document, image.target.id, image.path.clone());
    Ok((EditedImage { changed: true, line, from, to }, Some(splice)))
}

/// Reads the result again: what did not parse still does not, in the same way, and of what does, exactly the values that
/// were set differ.
fn verify(before: &[Result<Document<'_>, Fault>], text: &str, splices: &[Splice]) -> Result<(), EditError> {
    let after = yaml::load(text);
    let same = before.len() == after.len()
        && before.iter().zip(&after).enumerate().all(|(index, pair)| match pair {
            (Ok(before), Ok(after)) => {
                let changed: HashMap<NodeId, &str> = splices
                    .iter()
                    .filter(|splice| splice.document == index)
                    .map(|splice| (splice.node, splice.value.as_str()))
                    .collect();
                before.differs_only_in(after, &changed)
            }
            // Only the column could have moved, and only if it is on an edited line.
            (Err(before), Err(after)) => before.line == after.line && before.text == after.text,
            _ => false,
        });
    match splices.first() {
        Some(first) if !same => Err(EditError::NotVerified { path: first.path.clone(), line: first.line }),
        _ => Ok(()),
    }
}
