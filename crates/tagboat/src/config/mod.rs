//! The configuration: one YAML file, all of its problems reported at once.

mod check;
mod keys;
mod model;

pub use model::{Config, GitCredentials, Host, Mode, Source};

use anyhow::{Context, Result, bail};
use std::path::Path;

/// The largest configuration that is read, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// Reads and checks a configuration.
///
/// # Errors
/// It cannot be read, or something in it is wrong; every problem has a line of its own.
pub fn read(path: &Path) -> Result<Config> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > LIMIT {
        bail!("{} is larger than {LIMIT} bytes", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        anyhow::anyhow!("the configuration cannot be used\n  {}", lines.join("\n  "))
    })
}

/// Reads and checks the text of a configuration.
///
/// # Errors
/// Every problem that was found.
pub fn parse(text: &str) -> Result<Config, Vec<String>> {
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| vec![error.to_string()])?;
    let mut problems = keys::unknown(&value);
    // Unknown keys have been told with their nearest neighbour; what is left tells of wrong types and missing keys.
    match serde_path_to_error::deserialize::<_, Config>(keys::without_unknown(value)) {
        Ok(config) => {
            problems.extend(check::problems(&config));
            if problems.is_empty() { Ok(config) } else { Err(problems) }
        }
        Err(error) => {
            let at = error.path().to_string();
            let place = if at == "." { String::new() } else { format!("{at}: ") };
            problems.push(format!("{place}{}", error.inner()));
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
sources:
- name: infrastructure
  git: {url: 'https://git.example.com/ops/infrastructure.git'}
";

    #[test]
    fn the_shortest_configuration_has_one_source() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.sources[0].git.branch, "main");
        assert_eq!(config.mode, Mode::Apply);
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest_known_one_and_all_at_once() {
        let text = GOOD.replace("name:", "nam: x\n  name:").replace("sources:", "mod: observe\nsources:");
        let problems = parse(&text).unwrap_err();
        assert_eq!(
            problems,
            ["mod: unknown key; did you mean \"mode\"?", "sources[0].nam: unknown key; did you mean \"name\"?"]
        );
    }

    #[test]
    fn two_sources_of_one_name_and_a_source_without_url_are_both_told() {
        let text = format!("{GOOD}- name: infrastructure\n  git: {{url: ''}}\n");
        let problems = parse(&text).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn durations_and_wrong_types_name_their_place() {
        let text = GOOD.replace("git: {", "git: {interval: 10x, ");
        let problems = parse(&text).unwrap_err();
        assert!(problems[0].contains("10x"), "{problems:?}");
    }
}
