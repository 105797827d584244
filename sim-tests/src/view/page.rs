//! The page around a film.

use super::film::Reel;
use serde::Serialize;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which they use each other.
const SCRIPTS: [&str; 9] = [
    include_str!("page/model.js"),
    include_str!("page/scale.js"),
    include_str!("page/search.js"),
    include_str!("page/colours.js"),
    include_str!("page/lanes.js"),
    include_str!("page/events.js"),
    include_str!("page/overview.js"),
    include_str!("page/panel.js"),
    include_str!("page/main.js"),
];

/// What stands above the picture.
#[derive(Clone, Default, Debug, Serialize)]
pub struct About {
    /// What the run is called.
    pub name: String,
    /// What it is about.
    pub story: String,
    /// The scenario, as its file says it.
    pub scenario: String,
    /// The broken promise, if one was.
    pub violation: Option<String>,
    /// What is said where none was.
    pub otherwise: &'static str,
}

impl About {
    /// What is said of a run that was judged.
    pub const KEPT: &str = "Every promise was kept.";
}

#[derive(Serialize)]
struct Data<'a> {
    about: &'a About,
    #[serde(flatten)]
    reel: &'a Reel,
}

/// JSON that cannot end the element it stands in, whatever a run says: no `<` and no `>` is left. Both, and the two line
/// ends that only JSON allows, stand only inside strings.
fn embedded(data: &Data<'_>) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(data)?;
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e");
    Ok(json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
}

/// One HTML file with everything in it.
///
/// # Errors
/// None that a film could cause.
pub fn page(about: &About, reel: &Reel) -> Result<String, serde_json::Error> {
    let data = embedded(&Data { about, reel })?;
    let scripts = SCRIPTS.concat();
    let mut page = String::with_capacity(TEMPLATE.len() + data.len() + (64 << 10));
    let mut rest = TEMPLATE;
    // Once from front to back: what is put in is never looked at again.
    for (mark, text) in [("/*style*/", STYLE), ("/*run*/", &data), ("/*scripts*/", &scripts)] {
        let (before, behind) = rest.split_once(mark).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(text);
        rest = behind;
    }
    page.push_str(rest);
    Ok(page)
}
