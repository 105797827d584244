//! docs/configuration.md is made from the table of keys.

use std::path::Path;

use zoetrope_server::markdown;

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    assert!(
        page == markdown::configuration(),
        "docs/configuration.md is out of date: \
         run `cargo run -- config keys --markdown > docs/configuration.md`"
    );
}
