//! The platform's folder for the data of programs.

use std::ffi::OsString;
use std::path::PathBuf;

/// `$TOMBOLO_HOME`, or `tombolo` in the platform's data folder; never a temporary one.
pub(super) fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("TOMBOLO_HOME").or_else(|| {
        let data = if cfg!(windows) {
            path("APPDATA").or_else(|| Some(path("USERPROFILE")?.join("AppData").join("Roaming")))
        } else if cfg!(target_os = "macos") {
            Some(path("HOME")?.join("Library").join("Application Support"))
        } else {
            // The XDG specification has a relative path ignored.
            path("XDG_DATA_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| Some(path("HOME")?.join(".local").join("share")))
        };
        Some(data?.join("tombolo"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(variables: &[(&str, &str)]) -> Option<PathBuf> {
        from_env(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_variable_goes_before_the_platform() {
        let all = [("TOMBOLO_HOME", "/m"), ("HOME", "/h"), ("APPDATA", "/a")];
        assert_eq!(home(&all), Some("/m".into()));
        assert_eq!(home(&[]), None);
        assert_eq!(home(&[("TOMBOLO_HOME", "")]), None);
    }

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn linux_follows_xdg() {
        let default = Some(PathBuf::from("/h/.local/share/tombolo"));
        assert_eq!(home(&[("HOME", "/h")]), default);
        assert_eq!(home(&[("HOME", "/h"), ("XDG_DATA_HOME", "relative")]), default);
        assert_eq!(home(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), Some("/x/tombolo".into()));
    }

    #[test]
    #[cfg(target_os = "macos")]
    fn macos_has_application_support() {
        let expected = PathBuf::from("/h/Library/Application Support/tombolo");
        assert_eq!(home(&[("HOME", "/h")]), Some(expected));
    }

    #[test]
    #[cfg(windows)]
    fn windows_has_appdata() {
        assert_eq!(home(&[("APPDATA", r"C:\a")]), Some(r"C:\a\tombolo".into()));
    }
}
