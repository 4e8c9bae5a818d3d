//! Compiles the crate anew when the pages were built anew: their names change with
//! their contents, and the compiler only watches files that it has seen.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
