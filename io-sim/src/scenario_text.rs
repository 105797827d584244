//! A scenario as a person would write it: what goes without saying is left out, and every step has its line.

use crate::scenario::Scenario;
use toml::{Table, Value};

/// Keys in the order in which a reader wants them; the others follow.
const FIRST: [&str; 6] = ["story", "guards", "retells", "seed", "peers", "observers"];

impl Scenario {
    /// The file that says this scenario in as few lines as possible: one for each setting that is not the usual one,
    /// one for each step.
    pub fn to_short_text(&self) -> String {
        let mut all = Table::try_from(self).expect("every scenario can be written");
        let steps = all.remove("steps");
        let usual = "story = ''\nseed = 0\nsteps = []".parse::<Table>().map(Value::Table);
        let usual = usual.ok().and_then(|usual| usual.try_into::<Self>().ok());
        let usual = usual.and_then(|usual| Table::try_from(usual).ok()).unwrap_or_default();
        all.retain(|key, value| key == "story" || key == "seed" || usual.get(key) != Some(value));
        let mut text = String::new();
        let mut line = |key: &str, value: &Value| text.push_str(&format!("{key} = {value}\n"));
        for key in FIRST {
            if let Some(value) = all.remove(key) {
                line(key, &value);
            }
        }
        all.iter().for_each(|(key, value)| line(key, value));
        text.push_str("steps = [\n");
        for step in steps.iter().filter_map(Value::as_array).flatten() {
            text.push_str(&format!("  {},\n", self.without_the_usual(step)));
        }
        text.push_str("]\n");
        text
    }

    /// A step without the settings that it would have anyway.
    fn without_the_usual(&self, step: &Value) -> Value {
        let means = |step: &Value| step.clone().try_into::<crate::scenario::Step>().ok();
        let mut short = step.clone();
        for path in keys(step) {
            let mut without = short.clone();
            remove(&mut without, &path);
            if means(&without).is_some() && means(&without) == means(step) {
                short = without;
            }
        }
        short
    }
}

/// Where every key of a value is.
fn keys(value: &Value) -> Vec<Vec<String>> {
    let Some(table) = value.as_table() else { return Vec::new() };
    let mut all = Vec::new();
    for (key, below) in table {
        all.push(vec![key.clone()]);
        all.extend(keys(below).into_iter().map(|path| [vec![key.clone()], path].concat()));
    }
    all
}

fn remove(value: &mut Value, path: &[String]) {
    let Some(table) = value.as_table_mut() else { return };
    match path {
        [] => {}
        [key] => drop(table.remove(key)),
        [key, rest @ ..] => table.get_mut(key).into_iter().for_each(|below| remove(below, rest)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Scenario, swarm, swarm_ensemble};

    #[test]
    fn the_short_text_says_the_same() {
        for seed in 0..200 {
            for scenario in [swarm(seed), swarm_ensemble(seed)] {
                let text = scenario.to_short_text();
                assert_eq!(Scenario::parse(&text).as_ref(), Ok(&scenario), "{text}");
                assert!(text.lines().count() <= scenario.steps.len() + 20, "{text}");
            }
        }
    }

    #[test]
    fn what_goes_without_saying_is_left_out() {
        let text = "story = \"A fault.\"\nseed = 3\nsteps = [\n  { fault = { crash = { keep = \"all\" } } },\n  \"rest\",\n]\n";
        assert_eq!(Scenario::parse(text).unwrap().to_short_text(), text);
    }
}
