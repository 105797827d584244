//! Paths: what is a legal one, and its two halves. Looks nothing up.

/// May a znode of this path be created or written (client protocol §3.3)?
pub(crate) fn is_valid(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.split('/').all(|name| !matches!(name, "" | "." | "..")) && rest.chars().all(is_legal)
}

fn is_legal(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Parent and name, split at the last '/'; the parent of a top-level path is `"/"`. `None` without a '/'.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    let at = path.rfind('/')?;
    let parent = if at == 0 { "/" } else { &path[..at] };
    Some((parent, &path[at + 1..]))
}

/// The path and each of its ancestors, deepest first, ending with `"/"`.
pub(crate) fn with_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        if *path == "/" { None } else { split(path).map(|(parent, _)| parent) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_paths_are_those_of_java() {
        for path in ["/", "/a", "/a/b", "/ ", "/\u{a0}", "/\u{ffef}", "/a..b/c.", "/\u{f900}"] {
            assert!(is_valid(path), "{path:?}");
        }
        for path in [
            "",
            "a",
            "/a/",
            "//",
            "/a//b",
            "/.",
            "/a/..",
            "/\0",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{e000}",
            "/\u{fffd}",
            "/\u{1f600}",
        ] {
            assert!(!is_valid(path), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_followed_by_its_ancestors() {
        assert_eq!(with_ancestors("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(with_ancestors("/").collect::<Vec<_>>(), ["/"]);
        assert_eq!(split("/a/"), Some(("/a", "")));
        assert_eq!(split("a"), None);
    }
}
