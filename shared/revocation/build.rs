//! Rebuilds when a statement is edited: the compiler is not told of those that return no columns.

fn main() {
    println!("cargo::rerun-if-changed=../../queries/revocation");
}
