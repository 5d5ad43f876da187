//! Provides the prebuilt `libduckdb` that the crate `duckdb` links with.
//!
//! Compiling DuckDB takes over an hour on two cores, and the sources in the published crate lack the
//! extension icu. So the library comes prebuilt from the first of these that has it:
//!
//! 1. the folder `DUCKDB_LIB_DIR`
//! 2. the cache (`REDLAKE_CACHE_DIR`, or `redlake/` in the user's cache folder)
//! 3. DuckDB's npm package for the platform: fetched by npm, checked, unpacked into the cache
//! 4. libduckdb-sys, which downloads it when `DUCKDB_DOWNLOAD_LIB=1`
//!
//! The crate asks for `-lduckdb` and says no more. This script says where that is: to the linker
//! with a search path, to the loader with an rpath (on Windows: with a DLL beside the binaries).

use std::env;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use tar::Archive;

/// The DuckDB that libduckdb-sys binds and downloads. Its version says which: 1.10506 is 1.5.6.
const DUCKDB_VERSION: &str = "1.5.6";

/// What decides where the library is.
const VARIABLES: [&str; 4] = [
    "DUCKDB_LIB_DIR",
    "DUCKDB_DOWNLOAD_LIB",
    "REDLAKE_CACHE_DIR",
    "XDG_CACHE_HOME",
];

/// DuckDB's npm package for one platform.
struct Package {
    /// npm's word for the platform, the end of the package's name.
    platform: &'static str,
    version: &'static str,
    /// The checksum of the tarball, as `npm view <package>@<version> dist.integrity` prints it.
    integrity: &'static str,
}

// The versions differ because we could not get 1.5.6 for every platform when we pinned them. That
// is safe: the bindings of 1.5.5 and 1.5.6 declare the same functions, types and constants, and each
// of these libraries exports all of those functions.
const LINUX_X64: Package = Package {
    platform: "linux-x64",
    version: "1.5.6-r.1",
    integrity: "sha512-IXcrZJE6kEqM0Z4wwdVnGBHX/frOS33VPNAwDXQ/Q+Fs84b058Qe94chrCCIcNJlG8Y3UHIUU4eBeCQxW5mN1Q==",
};
const LINUX_ARM64: Package = Package {
    platform: "linux-arm64",
    version: "1.5.5-r.5",
    integrity: "sha512-CafH2AIvXtpwDynG3KB/4uEOHRGlFoB7auCRMIwH3BKNIobsANV5LSpDJ3tfyRCFIsK6e8AT1eseWVnu2Dv3cw==",
};
const DARWIN_ARM64: Package = Package {
    platform: "darwin-arm64",
    version: "1.5.5-r.5",
    integrity: "sha512-WJdeLTFy4pRg60rkbp9smtlP1iIQ8ErtIJkxS+2LQtM1ZZMSByyW+3WPpNoKe7IwPtVl2fLlPw7tDmQW4Z974g==",
};
const WIN32_X64: Package = Package {
    platform: "win32-x64",
    version: "1.5.5-r.5",
    integrity: "sha512-mBGFn8netT/AAhK4TOG6Fw47+Db68CxCVtQ9qfxZc1kZAjds+aYrh17Fd/u5CbTDdxILsrcyuF8q9cUcm54kQA==",
};

fn main() -> ExitCode {
    // Nothing is printed to stdout before success: Cargo would repeat it above the error.
    match link() {
        Ok(()) => {
            println!("cargo:rerun-if-changed=build.rs");
            tell_where_snapshots_are();
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn link() -> Result<(), String> {
    let target = Target::of_this_build();
    let library = provide(&target)?;
    announce(&target, &library)
}

/// Without this, the first snapshot of a test process would ask `cargo metadata`; and while a process is
/// being started it holds the file locks of all threads, and other tests find them locked.
fn tell_where_snapshots_are() {
    if let Ok(folder) = env::var("CARGO_MANIFEST_DIR") {
        println!("cargo:rustc-env=INSTA_WORKSPACE_ROOT={folder}");
    }
}

/// Where the library is.
enum Library {
    In(PathBuf),
    /// libduckdb-sys puts it there, but perhaps not yet: its build script may run after this one.
    DownloadedTo(PathBuf),
}

fn provide(target: &Target) -> Result<Library, String> {
    if let Some(folder) = folder_from_env("DUCKDB_LIB_DIR") {
        return given(target, folder).map(Library::In);
    }
    let why_not_npm = match cached_or_from_npm(target) {
        Ok(folder) => return Ok(Library::In(folder)),
        Err(reason) => reason,
    };
    if download_is_asked_for() {
        return Ok(Library::DownloadedTo(target.download_folder()));
    }
    Err(nothing_found(target, &why_not_npm))
}

/// Tells Cargo how to link with the library and when to run this script again.
fn announce(target: &Target, library: &Library) -> Result<(), String> {
    for name in VARIABLES {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let folder = match library {
        Library::In(folder) => {
            let file = folder.join(target.library());
            println!("cargo:rustc-link-search=native={}", folder.display());
            println!("cargo:rerun-if-changed={}", file.display());
            folder
        }
        Library::DownloadedTo(folder) => folder,
    };
    match target.os.as_str() {
        // Windows has no rpath: it looks for a DLL beside the executable.
        "windows" => {}
        "macos" => print_rpaths(folder, "@loader_path"),
        _ => print_rpaths(folder, "$ORIGIN"),
    }
    put_beside_binaries(target, folder)
}

/// Prints where the loader looks: beside the binary and in `../lib`, so that any account can start
/// it and an installation can move, then in `folder`, for `cargo install`, which copies the binary
/// alone.
fn print_rpaths(folder: &Path, beside: &str) {
    for path in [
        beside.to_owned(),
        format!("{beside}/../lib"),
        folder.display().to_string(),
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{path}");
    }
}

/// Links or copies the library to the folders of binaries, tests and examples.
fn put_beside_binaries(target: &Target, folder: &Path) -> Result<(), String> {
    let library = folder.join(target.library());
    if !library.is_file() {
        // The download is not there yet. As long as a file named here is missing, each build runs
        // this script again.
        println!("cargo:rerun-if-changed={}", library.display());
        return Ok(());
    }
    for part in ["", "deps", "examples"] {
        let folder = target.profile_folder().join(part);
        fs::create_dir_all(&folder).map_err(cannot("create", &folder))?;
        let beside = folder.join(target.library());
        // Writing through an old hard link would change the file in the cache.
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(cannot("replace", &beside)(error));
        }
        if fs::hard_link(&library, &beside).is_err() {
            fs::copy(&library, &beside).map_err(cannot("write", &beside))?;
        }
    }
    Ok(())
}

/// The folder that the user named. It is never passed over: a wrong one is a mistake to correct.
fn given(target: &Target, folder: PathBuf) -> Result<PathBuf, String> {
    let file = target.linker_input();
    if folder.join(file).is_file() {
        return Ok(folder);
    }
    Err(format!(
        "DUCKDB_LIB_DIR is {}, and there is no {file} in it\n\
         hint: set it to a folder with {files} of DuckDB {DUCKDB_VERSION}, or unset it",
        folder.display(),
        files = target.files(),
    ))
}

/// The cached copy, which npm fetches if it is not there.
fn cached_or_from_npm(target: &Target) -> Result<PathBuf, String> {
    let package = target.package()?;
    let name = format!("libduckdb-{}-{}", package.version, package.platform);
    let folder = cache_folder()?.join(name);
    if !is_cached(package, target.library(), &folder) {
        fetch(package, target.library(), &folder)?;
    }
    Ok(folder)
}

/// The file in the cache that says which tarball the library beside it came from.
const MARKER: &str = "integrity";

fn is_cached(package: &Package, library: &str, folder: &Path) -> bool {
    let marker = fs::read_to_string(folder.join(MARKER));
    marker.is_ok_and(|integrity| integrity == package.integrity) && folder.join(library).is_file()
}

/// Puts the package's library into the cache.
fn fetch(package: &Package, library: &str, folder: &Path) -> Result<(), String> {
    let scratch = Scratch::new(folder)?;
    let tarball = npm_pack(package, &scratch.0)?;
    let bytes = fs::read(&tarball).map_err(cannot("read", &tarball))?;
    check(package, &bytes)?;
    unpack(&bytes, library, &scratch.0)?;
    let marker = scratch.0.join(MARKER);
    fs::write(&marker, package.integrity).map_err(cannot("write", &marker))?;

    // A rename replaces a file at once, and the marker comes last: another build sees no library,
    // or a whole one, and two that do this at the same time put the same bytes there.
    for name in [library, MARKER] {
        let place = folder.join(name);
        fs::rename(scratch.0.join(name), &place).map_err(cannot("write", &place))?;
    }
    Ok(())
}

/// Downloads the package into `folder` with the user's own npm, hence by their proxy and registry.
fn npm_pack(package: &Package, folder: &Path) -> Result<PathBuf, String> {
    let name = format!(
        "@duckdb/node-bindings-{}@{}",
        package.platform, package.version
    );
    // On Windows npm is a batch file, found only by its full name.
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(npm)
        .args(["pack", &name, "--loglevel=error"])
        .current_dir(folder)
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!("there is no {npm} in the PATH"),
            _ => format!("cannot run {npm}: {error}"),
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`npm pack {name}` failed ({})\n{}",
            output.status,
            stderr.trim()
        ));
    }
    // Looked for rather than read from stdout, where the user's npm settings may put other things.
    let files = fs::read_dir(folder).map_err(cannot("read", folder))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| format!("`npm pack {name}` succeeded but wrote no .tgz file"))
}

/// Only the exact tarball that was pinned may be linked into the binary.
fn check(package: &Package, tarball: &[u8]) -> Result<(), String> {
    let integrity = format!("sha512-{}", base64(&Sha512::digest(tarball)));
    if integrity == package.integrity {
        return Ok(());
    }
    Err(format!(
        "npm fetched a package that is not the pinned one, so it was thrown away\n\
         pinned  {}\n\
         fetched {integrity}",
        package.integrity
    ))
}

fn unpack(tarball: &[u8], library: &str, folder: &Path) -> Result<(), String> {
    let place = folder.join(library);
    let wanted = Path::new("package").join(library);
    let unpacked = || -> io::Result<bool> {
        for entry in Archive::new(GzDecoder::new(tarball)).entries()? {
            let mut entry = entry?;
            if entry.path()? == wanted {
                // Keeps the packed modification time. A newer one than the start of this script
                // would have Cargo run it again in the next build.
                entry.unpack(&place)?;
                // The marker vouches for the library, even after a power failure.
                File::options().append(true).open(&place)?.sync_all()?;
                return Ok(true);
            }
        }
        Ok(false)
    };
    if unpacked().map_err(cannot("unpack", &place))? {
        return Ok(());
    }
    Err(format!("the npm package has no {}", wanted.display()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize % 64];
            text.push(if i <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// Reads the variable as libduckdb-sys does, which then downloads whatever this script finds, and
/// reports itself if it cannot.
fn download_is_asked_for() -> bool {
    env::var("DUCKDB_DOWNLOAD_LIB")
        .is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

fn nothing_found(target: &Target, why_not_npm: &str) -> String {
    let files = target.files();
    let npm = match target.package() {
        Ok(_) => "\n  - install npm (it comes with Node.js), or put right what stopped it",
        Err(_) => "",
    };
    format!(
        "redlake links with DuckDB's library, and there is none for {triple} yet
  DUCKDB_LIB_DIR: not set
  npm: {why_not_npm}
  DUCKDB_DOWNLOAD_LIB: not set to 1

hint: do one of these, then build again{npm}
  - set DUCKDB_LIB_DIR to a folder with {files} of DuckDB {DUCKDB_VERSION}
  - set DUCKDB_DOWNLOAD_LIB=1, and the crate libduckdb-sys downloads it from DuckDB's releases",
        triple = target.triple,
        why_not_npm = why_not_npm.replace('\n', "\n    "),
    )
}

/// What is built for, and where to. (`cfg!` would tell what this script runs on.)
struct Target {
    triple: String,
    os: String,
    arch: String,
    env: String,
    out_dir: PathBuf,
}

impl Target {
    fn of_this_build() -> Self {
        let var = |name| env::var(name).unwrap_or_default();
        Self {
            triple: var("TARGET"),
            os: var("CARGO_CFG_TARGET_OS"),
            arch: var("CARGO_CFG_TARGET_ARCH"),
            env: var("CARGO_CFG_TARGET_ENV"),
            out_dir: var("OUT_DIR").into(),
        }
    }

    fn package(&self) -> Result<&'static Package, String> {
        match (self.os.as_str(), self.arch.as_str(), self.env.as_str()) {
            ("linux", "x86_64", "gnu") => Ok(&LINUX_X64),
            ("linux", "aarch64", "gnu") => Ok(&LINUX_ARM64),
            ("macos", "aarch64", _) => Ok(&DARWIN_ARM64),
            ("windows", "x86_64", "gnu") => Ok(&WIN32_X64),
            // Such packages have no import library. The GNU linker reads the DLL itself.
            ("windows", _, "msvc") => {
                Err("DuckDB's package lacks duckdb.lib, which MSVC links with".into())
            }
            _ => Err(format!("redlake knows no package for {}", self.triple)),
        }
    }

    /// The file that a running redlake loads.
    fn library(&self) -> &'static str {
        match self.os.as_str() {
            "windows" => "duckdb.dll",
            "macos" => "libduckdb.dylib",
            _ => "libduckdb.so",
        }
    }

    /// The file that the linker opens.
    fn linker_input(&self) -> &'static str {
        match self.env.as_str() {
            "msvc" => "duckdb.lib",
            _ => self.library(),
        }
    }

    /// Both, for a person to read.
    fn files(&self) -> String {
        match (self.linker_input(), self.library()) {
            (input, library) if input == library => library.into(),
            (input, library) => format!("{input} and {library}"),
        }
    }

    /// `<target>/<profile>`: Cargo gives a script `<target>/<profile>/build/<package>/out`.
    fn profile_folder(&self) -> &Path {
        self.out_dir.ancestors().nth(3).unwrap_or(&self.out_dir)
    }

    /// Where libduckdb-sys puts what it downloads (its `src/build_paths.rs`).
    fn download_folder(&self) -> PathBuf {
        let root = self.profile_folder().parent().unwrap_or(&self.out_dir);
        root.join("duckdb-download")
            .join(&self.triple)
            .join(DUCKDB_VERSION)
    }
}

fn cache_folder() -> Result<PathBuf, String> {
    if let Some(folder) = folder_from_env("REDLAKE_CACHE_DIR") {
        return Ok(folder);
    }
    let caches = if cfg!(windows) {
        folder_from_env("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        env::home_dir().map(|home| home.join("Library/Caches"))
    } else {
        folder_from_env("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")))
    };
    let caches = caches.ok_or("no cache folder to unpack into: set REDLAKE_CACHE_DIR")?;
    Ok(caches.join("redlake"))
}

/// A folder named by the environment, made absolute, as the loader reads it from any directory.
fn folder_from_env(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty())?;
    std::path::absolute(value).ok()
}

/// A folder of this process alone, removed with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    /// Inside `folder`, so that what is made here can be renamed into it.
    fn new(folder: &Path) -> Result<Self, String> {
        let path = folder.join(format!("tmp-{}", process::id()));
        fs::create_dir_all(&path).map_err(cannot("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cannot(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let what = format!("cannot {verb} {}", path.display());
    move |error| format!("{what}: {error}")
}
