//! What types cannot say.

use super::model::Config;
use std::collections::BTreeSet;

/// Every problem of a configuration whose types are right.
pub fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if config.sources.is_empty() {
        problems.push("sources: there must be at least one".to_owned());
    }
    let mut names = BTreeSet::new();
    for (index, source) in config.sources.iter().enumerate() {
        let at = format!("sources[{index}]");
        let valid = !source.name.is_empty()
            && source.name.len() <= 40
            && source.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !source.name.starts_with('-')
            && !source.name.ends_with('-');
        if !valid {
            problems.push(format!(
                "{at}.name: {:?} must be 1 to 40 lower-case letters, digits and inner hyphens",
                source.name
            ));
        }
        if !names.insert(&source.name) {
            problems.push(format!("{at}.name: {:?} is the name of another source, too", source.name));
        }
        if source.git.url.is_empty() {
            problems.push(format!("{at}.git.url: it is empty"));
        }
        if let Some(credentials) = &source.git.credentials {
            let http = credentials.username.is_some() || credentials.password_file.is_some();
            let ssh = credentials.ssh_key_file.is_some() || credentials.known_hosts_file.is_some();
            let at = format!("{at}.git.credentials");
            match (http, ssh) {
                (true, true) => problems.push(format!("{at}: either a password or an SSH key, not both")),
                (true, false) if credentials.password_file.is_none() => {
                    problems.push(format!("{at}.passwordFile: it is missing; username needs it"));
                }
                (false, true) if credentials.ssh_key_file.is_none() => {
                    problems.push(format!("{at}.sshKeyFile: it is missing; knownHostsFile needs it"));
                }
                (false, true) if credentials.known_hosts_file.is_none() => {
                    problems.push(format!("{at}.knownHostsFile: it is missing; an unknown host is never trusted"));
                }
                _ => {}
            }
        }
        for (place, path) in source.paths.iter().enumerate() {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                problems.push(format!("{at}.paths[{place}]: {path:?} must be relative and stay in the repository"));
            }
        }
    }
    for (index, host) in config.registries.hosts.iter().enumerate() {
        let at = format!("registries.hosts[{index}]");
        if host.username.is_some() != host.password_file.is_some() {
            problems.push(format!("{at}: username and passwordFile go together"));
        }
        if let Some(endpoint) = &host.endpoint
            && endpoint.scheme() == "http"
            && !host.plain_http
        {
            problems.push(format!("{at}.endpoint: plain http needs plainHttp: true"));
        }
    }
    problems
}
