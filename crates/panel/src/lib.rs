//! The web panel and the player pages, as files inside the binary.
//!
//! They are written in `web/` (Svelte, TypeScript) and built there by Vite into
//! `web/dist`, which is embedded as it is found when this crate is compiled. It may be
//! empty: `cargo build` alone needs no Node, and [`HOW_TO_BUILD`] says what to do then.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// What a page answers while the panel was not built into this binary.
pub const HOW_TO_BUILD: &str = "The web panel was not built into this server.\n\n\
    Either start it with scripts/run, or run `npm ci && npm run build` in crates/panel/web\n\
    and then `cargo build` again. Everything else works without it.\n";

/// Below this all names carry a hash of the contents.
const HASHED: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Built;

/// One file.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its contents.
    pub bytes: Cow<'static, [u8]>,
    /// Its media type, with the character set where it is text.
    pub mime: &'static str,
    /// Whether the name changes with the contents, so that it may be kept for ever.
    pub immutable: bool,
}

/// The file at `path`, relative to the root of what Vite built, such as `index.html`
/// or `assets/panel-Bk3x.js`. `None` if there is no such file, or none at all; the file
/// that keeps the folder in git (`.gitkeep`) is none.
pub fn asset(path: &str) -> Option<Asset> {
    let bytes = Built::get(path).filter(|_| !path.starts_with('.'))?.data;
    Some(Asset { bytes, mime: mime(path), immutable: path.starts_with(HASHED) })
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_built_folder_is_a_file() {
        for path in ["", "..", "../package.json", "/etc/passwd", "assets", "assets/", ".gitkeep"] {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_names_that_carry_a_hash_are_kept_for_ever() {
        let Some(page) = asset("index.html") else { return };
        assert_eq!((page.mime, page.immutable), ("text/html; charset=utf-8", false));
        let text = String::from_utf8_lossy(&page.bytes);
        let mut files = text.split('"').filter_map(|part| part.strip_prefix("/assets/")).peekable();
        assert!(files.peek().is_some(), "the page has a script");
        for file in files {
            assert!(asset(&["assets/", file].concat()).is_some_and(|f| f.immutable), "{file}");
        }
    }
}
