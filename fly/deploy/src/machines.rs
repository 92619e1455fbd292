//! What runs, as flyctl tells it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    command::Stop,
    flyctl::{Flyctl, Signals},
};

/// A machine of an app.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) region: String,
    pub(crate) image: String,
    /// The commit that its image is labelled with.
    pub(crate) commit: Option<String>,
    pub(crate) passing: usize,
    pub(crate) checks: usize,
}

/// Whether there is an app of that name.
pub(crate) async fn has_app(
    flyctl: &Flyctl,
    app: &str,
    signals: &mut Signals,
) -> Result<bool, Stop> {
    let apps = list(flyctl, &APPS, signals).await?;
    Ok(apps.iter().any(|one| field(one, "name").is_some_and(|name| name == app)))
}

pub(crate) const APPS: [&str; 3] = ["apps", "list", "--json"];

/// The names of an app's secrets. Nobody is told their values, we neither.
pub(crate) async fn secrets(
    flyctl: &Flyctl,
    app: &str,
    signals: &mut Signals,
) -> Result<Vec<String>, Stop> {
    let secrets = list(flyctl, &["secrets", "list", "--app", app, "--json"], signals).await?;
    Ok(secrets.iter().filter_map(|one| field(one, "name")).map(str::to_owned).collect())
}

/// The app's machines that are there to serve.
pub(crate) async fn machines(
    flyctl: &Flyctl,
    app: &str,
    signals: &mut Signals,
) -> Result<Vec<Machine>, Stop> {
    let machines = list(flyctl, &["machine", "list", "--app", app, "--json"], signals).await?;
    let machines = machines.iter().filter_map(Machine::of);
    Ok(machines.filter(|machine| !machine.state.starts_with("destroy")).collect())
}

/// The image that most machines run.
pub(crate) fn image(machines: &[Machine]) -> Option<String> {
    let mut images: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in machines {
        *images.entry(&machine.image).or_default() += 1;
    }
    images.into_iter().max_by_key(|(_, count)| *count).map(|(image, _)| image.to_owned())
}

impl Machine {
    fn of(value: &Value) -> Option<Self> {
        let config = value.get("config").or_else(|| value.get("incomplete_config"))?;
        // The one that runs a release command is gone in a moment.
        let group = config.pointer("/metadata/fly_process_group").and_then(Value::as_str);
        if group.is_some_and(|group| group.starts_with("fly_app_")) {
            return None;
        }
        let checks = value.get("checks").and_then(Value::as_array).map(Vec::as_slice);
        let checks = checks.unwrap_or_default();
        let revision = "/image_ref/labels/org.opencontainers.image.revision";
        Some(Self {
            id: field(value, "id")?.to_owned(),
            state: field(value, "state")?.to_owned(),
            region: field(value, "region").unwrap_or("?").to_owned(),
            image: field(config, "image")?.to_owned(),
            commit: value.pointer(revision).and_then(Value::as_str).map(str::to_owned),
            passing: checks.iter().filter(|one| field(one, "status") == Some("passing")).count(),
            checks: checks.len(),
        })
    }
}

async fn list(
    flyctl: &Flyctl,
    arguments: &[&str],
    signals: &mut Signals,
) -> Result<Vec<Value>, Stop> {
    let said = flyctl.ask(arguments, signals).await?;
    match serde_json::from_str(&said) {
        Ok(Value::Array(list)) => Ok(list),
        // An empty list is sometimes spelled so.
        Ok(Value::Null) => Ok(Vec::new()),
        _ => {
            let called = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            Err(Stop::unavailable(format!("flyctl {called} has not answered with a JSON list")))
        }
    }
}

/// Some of flyctl's answers spell their fields `Name`, others `name`.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    let fields = value.as_object()?;
    fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?.1.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_machine_of_a_release_command_is_none_of_ours() {
        let machine = |group: &str| {
            let config = json!({ "image": "i", "metadata": { "fly_process_group": group } });
            Machine::of(&json!({ "id": "1", "state": "started", "config": config }))
        };
        assert!(machine("app").is_some());
        assert!(machine("fly_app_release_command").is_none());
    }

    #[test]
    fn the_image_is_that_of_most_machines() {
        let machine = |image: &str| {
            let value = json!({ "id": "1", "state": "started", "config": { "image": image } });
            Machine::of(&value).unwrap()
        };
        assert_eq!(image(&[machine("a"), machine("b"), machine("b")]).as_deref(), Some("b"));
        assert_eq!(image(&[]), None);
    }
}
