//! How often a hotspot blocked: counted, never below ten, and printed for the public.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{RESOLVER, SOON, run};
use crate::client::Ask;
use crate::world::World;

fn hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 3600
}

#[test]
fn blocks_are_counted_by_hotspot_and_printed_without_people_or_names() {
    // The end of an hour would part what is counted here.
    let begun = hour();
    let shown = std::panic::catch_unwind(counted_and_printed);
    match shown {
        Err(_) if hour() != begun => counted_and_printed(),
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => {}
    }
}

fn counted_and_printed() {
    let world = World::new();
    world.write_list("a.list", 1, &[("adult", "adult.example"), ("csam", "law.example"), ("gambling", "bets.example")]);
    let networks = |last: u8| format!("{}/32", world.address(last));
    let settings = format!(
        "[lists]\nfiles = [\"a.list\"]\n[report]\ndirectory = \"counts\"\n\
         [[policy]]\nname = \"library\"\nnetworks = [\"{}\"]\ndeny = [\"mine.example\"]\n\
         [[policy]]\nname = \"school\"\nnetworks = [\"{}\"]\n",
        networks(10),
        networks(11)
    );
    let daemon = world.start(&[], &settings);
    for (client, name, times) in [
        (10, "www.adult.example", 25),
        (10, "law.example", 12),
        (10, "mine.example", 11),
        (10, "bets.example", 9),
        (11, "adult.example", 9),
        (11, "law.example", 10),
    ] {
        for _ in 0..times {
            assert!(daemon.ask_as(world.address(client), &Ask::a(name)).is_blocked());
        }
    }
    // A reload of the same policies loses nothing of it.
    assert!(daemon.reload());
    daemon.signal("TERM");
    assert!(daemon.end(SOON).success());

    let directory = world.write("x", "").with_file_name("counts");
    let mut months: Vec<_> =
        fs::read_dir(&directory).expect("made at the start").map(|it| it.unwrap().path()).collect();
    months.sort();
    let text: String = months.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for never in ["example", "127.", "bets", "gambling"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
    let month = months[0].file_stem().unwrap().to_str().unwrap().to_owned();
    let number: u32 = month[5..].parse().expect("a month");
    let quarter = format!("{}-Q{}", &month[..4], number.div_ceil(3));
    let config = world.write("x", "").with_file_name("friendly.toml").display().to_string();
    let print =
        |format: &str| run(&[RESOLVER, "--config", &config, "report", "--quarter", &quarter, "--format", format]).out;
    let csv = print("csv");
    for line in [
        format!("library,adult,{month},20"),
        format!("library,csam,{month},10"),
        format!("library,policy-deny,{month},10"),
        format!("school,csam,{month},10"),
    ] {
        assert!(csv.contains(&line), "no {line} in\n{csv}");
    }
    assert!(!csv.contains("gambling") && !csv.contains("school,adult"), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&print("json")).expect("JSON");
    assert_eq!((&json["quarter"], &json["least"], &json["step"]), (&quarter.clone().into(), &10.into(), &10.into()));
    let html = print("html");
    assert!(html.contains("<html lang=\"sq\">") && html.contains(&quarter) && html.contains("<svg"), "{html}");

    let english = ["--format", "html", "--language", "en"];
    let shown = run(&[&[RESOLVER, "--config", &config, "report", "--quarter", &quarter][..], &english].concat());
    assert!(shown.out.contains("<html lang=\"en\">"), "{}", shown.out);
    run(&[RESOLVER, "--config", &config, "report", "--quarter", &quarter, "--language", "xx"])
        .assert_refused(&["'xx'", "sq, en"]);
    run(&[RESOLVER, "report", "--quarter", &quarter]).assert_refused(&["[report]", "directory"]);
}
