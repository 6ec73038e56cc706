//! Where a workload's images stand, in each of the shapes that they are written in.
//!
//! Reading and editing both come here, so that what is edited is what was read.

use tagboat_image::Reference;

use crate::workload::{ImageProblem, Shape, WorkloadKind};
use crate::yaml::{Place, Scalar};

/// One image and the values that make it up.
pub(crate) struct Image<'d, 'a> {
    pub(crate) container: String,
    pub(crate) shape: Shape,
    pub(crate) current: Result<Reference, ImageProblem>,
    /// The value that holds the tag, which is the one that an edit changes.
    pub(crate) target: Place<'d, 'a>,
    /// That value's path.
    pub(crate) path: String,
    /// Every value that was read.
    pub(crate) parts: Vec<Place<'d, 'a>>,
}

/// The name of the image that a HelmRelease's values themselves make up.
const CHART_IMAGE: &str = "chart-image";

/// The images of an object, in the order that [`Workload::containers`](crate::Workload::containers) has.
pub(crate) fn images<'d, 'a>(kind: WorkloadKind, object: &Place<'d, 'a>) -> Vec<Image<'d, 'a>> {
    match kind {
        WorkloadKind::HelmRelease => helm_values(object),
        WorkloadKind::CronJob => pod_template(object, &["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => pod_template(object, &["spec", "template", "spec"]),
    }
}

fn pod_template<'d, 'a>(object: &Place<'d, 'a>, path: &[&str]) -> Vec<Image<'d, 'a>> {
    let Some(spec) = object.at(path) else { return Vec::new() };
    let mut out = Vec::new();
    for list in ["containers", "initContainers"] {
        let Some(list_place) = spec.get(list) else { continue };
        for (index, item) in list_place.items().into_iter().enumerate() {
            let container =
                item.get("name").and_then(|name| name.str()).map_or_else(|| format!("{list}[{index}]"), str::to_owned);
            let path = format!("{}.{list}[{index}].image", path.join("."));
            let image = item.get("image");
            let current = match &image {
                None => Err(ImageProblem::Missing { path: path.clone() }),
                Some(place) => string(place, &path).and_then(|text| parse(text, &path)),
            };
            let target = image.unwrap_or(item);
            out.push(Image { container, shape: Shape::Whole, current, parts: vec![target.clone()], target, path });
        }
    }
    out
}

/// The values themselves, then each key of them: one level deep, as Flux does.
fn helm_values<'d, 'a>(object: &Place<'d, 'a>) -> Vec<Image<'d, 'a>> {
    let Some(values) = object.at(&["spec", "values"]) else { return Vec::new() };
    let mut named = Vec::new();
    let mut chart_image = interpret(&values, CHART_IMAGE, "spec.values");
    for entry in values.entries() {
        let path = format!("spec.values.{}", entry.key);
        if let Some(image) = interpret(&entry.value, &entry.key, &path) {
            // A key that is called so takes the place of the values themselves.
            if entry.key == CHART_IMAGE {
                chart_image = Some(image);
            } else {
                named.push(image);
            }
        }
    }
    named.sort_by(|a, b| a.container.cmp(&b.container));
    chart_image.into_iter().chain(named).collect()
}

/// Reads a mapping as an image: `image` is its name, or a mapping with a `repository` that is; `registry` and `tag` stand
/// beside the name, or are part of it.
fn interpret<'d, 'a>(map: &Place<'d, 'a>, container: &str, path: &str) -> Option<Image<'d, 'a>> {
    let image = map.get("image")?;
    let (inside, name, name_path, base) = if image.is_mapping() {
        let base = format!("{path}.image");
        (image.clone(), image.get("repository")?, format!("{base}.repository"), base)
    } else {
        (map.clone(), image, format!("{path}.image"), path.to_owned())
    };
    match name.scalar() {
        Some(Scalar::Str(text)) if !text.is_empty() => {}
        // An image cannot be a number; whoever wrote one meant text.
        Some(Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_)) => {}
        _ => return None,
    }
    // A registry that is empty or null is none; so is an empty tag, but that is where a tag will go.
    let registry =
        inside.get("registry").filter(|place| !matches!(place.scalar(), Some(Scalar::Null)) && place.str() != Some(""));
    let tag = inside.get("tag");
    let shape = match (&registry, &tag) {
        (None, None) => Shape::Whole,
        (None, Some(_)) => Shape::Tag,
        (Some(_), None) => Shape::Registry,
        (Some(_), Some(_)) => Shape::RegistryAndTag,
    };
    let tag_path = format!("{base}.tag");
    let current = compose(
        registry.as_ref().map(|place| (place, format!("{base}.registry"))),
        (&name, &name_path),
        tag.as_ref().map(|place| (place, &tag_path)),
    );
    let parts = [Some(name.clone()), registry, tag.clone()].into_iter().flatten().collect();
    let (target, path) = match tag {
        Some(tag) => (tag, tag_path),
        None => (name, name_path),
    };
    Some(Image { container: container.to_owned(), shape, current, target, path, parts })
}

fn compose(
    registry: Option<(&Place<'_, '_>, String)>,
    (name, name_path): (&Place<'_, '_>, &String),
    tag: Option<(&Place<'_, '_>, &String)>,
) -> Result<Reference, ImageProblem> {
    let mut text = String::new();
    if let Some((place, path)) = registry {
        text.push_str(string(place, &path)?);
        text.push('/');
    }
    text.push_str(string(name, name_path)?);
    let mut blame = name_path;
    if let Some((place, path)) = tag {
        let tag = string(place, path)?;
        if !tag.is_empty() {
            text.push(':');
            text.push_str(tag);
            blame = path;
        }
    }
    parse(&text, blame)
}

fn string<'d>(place: &Place<'d, '_>, path: &str) -> Result<&'d str, ImageProblem> {
    place.str().ok_or_else(|| ImageProblem::NotAString { path: path.to_owned(), found: place.describe() })
}

fn parse(text: &str, path: &str) -> Result<Reference, ImageProblem> {
    Reference::parse(text).map_err(|source| ImageProblem::Reference { path: path.to_owned(), source })
}
