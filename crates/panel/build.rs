//! Compiles the crate anew when the pages were built anew: their names change with
//! their contents, and the compiler only watches files that it has seen.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
    if !std::path::Path::new("web/dist/index.html").exists() {
        println!(
            "cargo:warning=without the web panel: build it by `npm ci && npm run build` in \
             crates/panel/web, or start the server by scripts/run"
        );
    }
}
