//! What is wrong with a scenario file: where, what was expected, and what was probably meant.

use crate::scenario::Scenario;
use std::fmt;

/// A scenario file that cannot be read: line, column and what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for ScenarioError {}

impl ScenarioError {
    pub(crate) fn of(error: &toml::de::Error) -> Self {
        let said = error.message();
        let hint = match suggestion(said) {
            Some(meant) => format!("did you mean `{meant}`?\n"),
            None if said.contains("untagged enum Target") => {
                "a server is meant: its id, \"leader\", \"follower\" or \"observer\"\n".to_owned()
            }
            None if said.contains("exactly 1 element") => {
                "one step, one thing: each has its own { }\n".to_owned()
            }
            None => hint(said).to_owned(),
        };
        Self(format!("{error}{hint}"))
    }
}

/// What was probably meant by a line of the wrong form.
fn hint(said: &str) -> &'static str {
    let unknown = said.split_once("unknown variant `").and_then(|(_, rest)| rest.split_once('`'));
    match unknown {
        // Only steps are called so: `said` names all that was expected.
        Some((word, _)) if said.contains("`fault-at`") && is_fault(word) => {
            "this is a fault; a step that brings one says so: { fault = ... }, { fault-at = ... } or { fault-when = ... }\n"
        }
        _ if said.contains("available keys: at, fault") => {
            "what happens there comes behind `fault =`: { at = \"leader\", fault = { isolate = 5000 } }\n"
        }
        _ if said.contains("unit variant, expected newtype variant") => {
            "it needs a number: { word = 5000 }\n"
        }
        _ if said.contains("unit variant, expected struct variant") => {
            "it needs its values in braces, and { } where all of them may be left out: { word = { } }\n"
        }
        _ if said.contains("expected table, found") => {
            "it takes no value and stands alone, or takes several with their names: \"word\" or { word = { name = 5000 } }\n"
        }
        _ => "",
    }
}

/// Is that what a fault is called? The reader names all of them to whoever knows none.
fn is_fault(word: &str) -> bool {
    let text = "story = ''\nseed = 0\nsteps = [{ fault = '?' }]";
    let said = toml::from_str::<Scenario>(text).map_err(|error| error.message().to_owned());
    said.is_err_and(|said| said.contains(&format!("`{word}`")))
}

/// The known word next to the unknown one, if there is one that is near.
fn suggestion(said: &str) -> Option<&str> {
    let (unknown, known): (&str, Vec<&str>) = match said.split_once(", available keys: ") {
        Some((before, known)) => (before.rsplit(": ").next()?, known.split(", ").collect()),
        None => {
            let mut words = said.split('`').skip(1).step_by(2);
            (words.next()?, words.collect())
        }
    };
    let most = unknown.chars().count().div_ceil(3);
    let near = known.into_iter().map(|word| (strsim::levenshtein(unknown, word), word));
    near.filter(|(far, _)| *far <= most).min_by_key(|(far, _)| *far).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use crate::Scenario;

    #[test]
    fn an_error_says_where_it_is_and_what_was_meant() {
        let begin = "story = 'x'\nseed = 1\nsteps = [\n";
        for (line, column, hint) in [
            ("{ request = 4 }", 3, "did you mean `requests`?"),
            ("{ crash-after = { op = 'apend', keep = 'all' } }", 24, "did you mean `append`?"),
            ("{ fault = { crash = { keep = 'tron' } } }", 30, "did you mean `torn`?"),
            ("{ fault = { crash = { keep = 'torn', dwon = 4 } } }", 38, "did you mean `down`?"),
            (
                "{ fault = { one-way = { from = 'leadr', to = 2 } } }",
                32,
                "\"leader\", \"follower\"",
            ),
            ("{ requests = 5, run = 3 }", 1, "one step, one thing"),
            ("'heal'", 1, "{ fault = ... }"),
            ("{ isolate = 5000 }", 3, "{ fault = ... }"),
            ("{ fault-at = { at = 'leader', isolate = 5 } }", 31, "behind `fault =`"),
            ("'await-leader'", 1, "it needs a number"),
            ("{ fault = 'kill' }", 11, "in braces"),
            ("{ expect-agreement = 5 }", 22, "stands alone"),
        ] {
            let error = Scenario::parse(&format!("{begin}{line}\n]")).unwrap_err().to_string();
            let place = format!("line 4, column {column}\n");
            assert!(error.contains(&place) && error.contains(hint), "{error}");
        }
        let error = Scenario::parse("story = 'x'\nsead = 1\nsteps = []").unwrap_err().to_string();
        assert!(error.contains("line 2, column 1") && error.contains("did you mean `seed`?"));
        let error = Scenario::parse("story = 'x'\ncolour = 1\nsteps = []").unwrap_err().to_string();
        assert!(error.contains("line 2, column 1") && !error.contains("did you mean"), "{error}");
    }
}
