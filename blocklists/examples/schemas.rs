//! Writes `blocklists/schema/*.json` anew from the types: `cargo run -p friendly-blocklist --example schemas`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, text) in friendly_blocklist::takedown::schemas() {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
