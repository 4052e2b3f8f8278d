//! `bucketport users`: what it shows, checks and adds.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::{Setup, program};

/// The exit code and both outputs of `bucketport users` with these arguments and this on its standard input.
fn users<'a>(arguments: impl IntoIterator<Item = &'a str>, input: &str) -> (Option<i32>, String, String) {
    let mut command = program();
    command.arg("users").args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may not read it.
    let _ = child.stdin.take().expect("asked for").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_user_that_was_added_can_log_in() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    let add = |arguments: &[&str], input: &str| {
        users(["add", "--file", shown(&file)].into_iter().chain(arguments.iter().copied()), input)
    };
    assert_eq!(add(&["acme"], "pass word\n"), (Some(0), String::new(), String::new()));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("our own file");
    let text = fs::read_to_string(&file).expect("our own file");
    fs::write(&file, format!("# kept\n{text}# the end\n")).expect("our own file");
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink("users.toml", &link).expect("a writable folder");
    let (code, _, said) = users(
        ["add", "beta", "--file", shown(&link), "--home", "in", "--permissions", "write,list"],
        "secret",
    );
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(link.is_symlink());
    assert_eq!(mode(&file), 0o640);
    let text = fs::read_to_string(&file).expect("our own file");
    assert!(text.starts_with("# kept\n[[users]]\n") && text.ends_with("# the end\n"), "{text}");
    assert!(text.contains("home = \"in\"\npermissions = [\"write\", \"list\"]\n"), "{text}");
    assert!(!text.contains("pass word") && text.matches("\"$argon2id$").count() == 2, "{text}");
    // What is refused changes nothing.
    for (arguments, input, expected) in [
        (&["acme"][..], "x", "name: there is a user `acme` already"),
        (&["new"], "", "the password is empty"),
        (&["new", "--home", ".."], "x", "users[2].home: must not hold `.` or `..`"),
        (&["new", "--permissions", "fly"], "x", "users[2].permissions: unknown variant `fly`"),
    ] {
        let (code, _, said) = add(arguments, input);
        assert!(code == Some(64) && said.starts_with(expected), "{arguments:?}: {code:?} {said}");
    }
    assert_eq!(fs::read_to_string(&file).expect("our own file"), text);
    let mut names: Vec<_> = fs::read_dir(folder.path()).expect("our own folder").collect();
    names.retain(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "link.toml"));
    assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
    let gateway = Setup::default().users(&format!("[auth]\nusers_file = \"{}\"\n", file.display())).start();
    gateway.connect().logged_in("acme", "pass word").expect("PWD", 257);
    gateway.connect().logged_in("beta", "secret").stor("x", b"x");
    assert_eq!(gateway.file("in/x"), b"x");
}

#[test]
fn users_that_are_added_at_one_time_are_all_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let file = &file;
            scope.spawn(move || {
                let said = users(["add", name, "--file", shown(file)], "secret");
                assert_eq!(said, (Some(0), String::new(), String::new()));
            });
        }
    });
    let (code, table, _) = users(["list", "--file", shown(&file)], "");
    assert_eq!(code, Some(0));
    for name in &names {
        assert!(table.lines().any(|line| line.split(' ').next() == Some(name)), "{name}: {table}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("our own folder").count(), 1);
}

#[test]
fn users_are_shown_without_their_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, file) = (folder.path().join("x.toml"), folder.path().join("more.yaml"));
    fs::write(
        &file,
        "users:\n- {name: beta, password: hunter2, store: b, home: in/beta, permissions: [list, read]}\n",
    )
    .expect("a writable folder");
    let text = format!(
        "[auth]\nusers_file = \"{}\"\nanonymous = {{ profile = \"drop-box\", store = \"b\" }}\n\
         [stores.a]\nurl = \"memory:///\"\n[stores.b]\nurl = \"memory:///\"\n\
         [[users]]\nname = \"großer\"\npassword = \"hunter2\"\nstore = \"a\"\n",
        file.display()
    );
    fs::write(&config, text).expect("a writable folder");
    let (code, table, said) = users(["list", "--config", shown(&config)], "");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let expected = "\
NAME       SOURCE         STORE  HOME      PERMISSIONS
großer     configuration  a      /         all
beta       users_file     b      /in/beta  list,read
anonymous  anonymous      b      /         write,mkdir
ftp        anonymous      b      /         write,mkdir
";
    assert_eq!(table, expected);
    let (code, table, said) = users(["list", "--file", shown(&file)], "");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(table.lines().count(), 2);
    assert!(!table.contains("hunter2"), "{table}");
}

#[test]
fn every_mistake_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, file) = (folder.path().join("x.toml"), folder.path().join("users.toml"));
    let write = |text: &str| fs::write(&file, text).expect("a writable folder");
    let main = format!("[auth]\nusers_file = \"{}\"\n[stores.a]\nurl = \"memory:///\"\n", file.display());
    fs::write(&config, main).expect("a writable folder");
    write(
        "[[users]]\nname = \"a\"\npassword = \"x\"\n[[users]]\nname = \"b\"\npassword = \"x\"\nstore = \"a\"\n",
    );
    for arguments in [["check", "--file", shown(&file)], ["check", "--config", shown(&config)]] {
        let said = users(arguments, "");
        assert_eq!(said, (Some(0), "2 users are valid\n".to_owned(), String::new()));
    }
    write(
        "[[users]]\nname = \"a\"\npassword = \"\"\n[[users]]\nname = \"a\"\npassword = \"x\"\nhome = \"..\"\n",
    );
    let (code, _, alone) = users(["check", "--file", shown(&file)], "");
    assert_eq!(code, Some(64));
    let expected = "users[0].password: is empty\nusers[1].name: `a` is already the name of users[0]\n\
                    users[1].home: must not hold `.` or `..`\n";
    assert_eq!(alone, expected);
    let (code, _, with_config) = users(["check", "--config", shown(&config)], "");
    assert_eq!((code, with_config.lines().count()), (Some(64), 3), "{with_config}");
    // A file that stands alone may mean any store, one with a configuration only those that there are.
    write("[[users]]\nname = \"a\"\npassword = \"x\"\nstore = \"other\"\n");
    assert_eq!(users(["check", "--file", shown(&file)], "").0, Some(0));
    let (code, _, said) = users(["check", "--file", shown(&file), "--config", shown(&config)], "");
    assert_eq!(code, Some(64), "{said}");
}
