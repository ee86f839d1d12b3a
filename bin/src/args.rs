//! The command line. The doc comments of arguments are the texts of `--help`.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use roles::contract::browse::AlbumSort;
use roles::contract::message::Sort;
use roles::contract::record::Role;
use roles::contract::rights::Right;

use crate::template::Template;

/// The hidden command of the process that finds a cover.
pub(crate) const FIND_COVER: &str = "find-cover";

/// One music library on several small machines, which goes on playing when any of them dies.
#[derive(Debug, Parser)]
#[command(
    name = "dispotify",
    version,
    max_term_width = 100,
    after_help = "Begin with `dispotify demo`, or with `dispotify serve MUSIC-FOLDER` to stay.\n\
Exit codes: 0 done, 1 failed or not found, 2 usage, 3 nobody reachable."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options that every command takes, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// DNS nodes of the cluster, separated by commas; the port defaults to 7700 [default: the one on 127.0.0.1, else
    /// those that tell of themselves on the link]
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_DNS",
        value_name = "ADDR[:PORT],...",
        value_delimiter = ','
    )]
    pub(crate) dns: Vec<String>,
    /// Multicast DNS: tell the link of DNS nodes and pages of this machine, and look there for DNS nodes without --dns
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_MDNS",
        value_name = "on|off",
        default_value = "on"
    )]
    pub(crate) mdns: OnOff,
    /// File with the cluster key, 64 hex digits (several lines while it is changed, see `key rotate`), or with a key of `key derive` [env: DISPOTIFY_KEY, the digits themselves]
    /// [default: dispotify/key in the configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Name of the cluster: nodes of another name are not spoken with
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_CLUSTER",
        default_value = "dispotify"
    )]
    pub(crate) cluster: String,
    /// Change a setting, for example data.announce=1s; `dispotify ls --set help` lists them
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub(crate) set: Vec<String>,
    /// Values for the links between the machines: lan, or wan for links of 100 to 300 ms. `--set` changes single ones
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_PRESET",
        value_enum,
        default_value = "lan"
    )]
    pub(crate) preset: Preset,
    /// Configuration file; '' for none [default: /etc/dispotify/config.toml, and over it dispotify/config.toml in the
    /// configuration folder]
    // clap takes no empty path, but every other text.
    #[arg(long, global = true, env = "DISPOTIFY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<OsString>,
    /// How much a node logs: error, warn, info, debug
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_LOG",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(crate) log: log::LevelFilter,
    /// File of the log of a node, `serve` or `web`; after SIGHUP it is opened anew [default: standard error]
    #[arg(long, global = true, env = "DISPOTIFY_LOG_FILE", value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Where fragments that were heard are kept [default: dispotify in the cache folder]
    #[arg(long, global = true, env = "DISPOTIFY_CACHE", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Speak without encryption and with anybody: for benchmarks, and refused beyond this machine
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run DNS, data, router and web player in one process; the library stays in the data directory
    Serve(Serve),
    /// Try it: six nodes on this machine, music, and the web player; all of it gone at the end
    Demo(Demo),
    /// Run one node of a cluster
    Node(Node),
    /// Run the web player on this machine
    Web(Web),
    /// Add files or folders to the library
    Add(Add),
    /// Add what is in folders, and then what comes into them, until Ctrl-C
    Watch(Watch),
    /// List all songs
    Ls(List),
    /// List the songs that a search finds: words, "phrases", artist:, album:, title:, genre:,
    /// composer:, year:1990..1999, and - before what is not to be found
    Search(Search),
    /// List albums
    Albums(Albums),
    /// List artists
    Artists(Groups),
    /// List genres
    Genres(Groups),
    /// List years, the last first
    Years(Groups),
    /// Show all that is known of a song: every tag, its format, the nodes that have it
    Info(Info),
    /// Write the cover inside a song to a file
    Cover(Cover),
    /// Fetch a song, byte for byte; resumes what was fetched before
    Get(Get),
    /// Fetch the whole library into a folder, as files named by their tags; what is there is not fetched again
    Export(Export),
    /// Play a song, beginning before it has arrived
    Play(Play),
    /// Star songs: `ls --starred` lists them
    Star(Star),
    /// Take the stars of songs
    Unstar(Star),
    /// Rate a song from 1 to 5; 0 takes the rating
    Rate(Rate),
    /// List playlists, show one, or change it
    Playlist(Playlists),
    /// Remove songs everywhere: they lie in the trash for 30 days, and `trash restore` takes them back
    Rm(Rm),
    /// List what was removed and can be taken back; take it back, or remove it for good
    Trash(Trash),
    /// Show nodes, roles, ring and songs
    Status(Status),
    /// Look at one node, in one line; for supervisors and containers
    Health(Health),
    /// Show what the DNS answers for a name
    Resolve(Resolve),
    /// Write the cover in a file to standard output: the page's process runs this by itself
    #[command(name = FIND_COVER, hide = true)]
    FindCover(FindCover),
    /// Write the completions of a shell to standard output
    Completions(Completions),
    /// Write the pages of the manual, dispotify.1 and one for each command, into a folder
    Man(Man),
    /// Look at keys, make one for a client, change that of the cluster
    Key(Key),
    /// Check configuration files, or show what is in force and where it comes from
    Config(Config),
    /// Check a library while its node is stopped: every table, every byte. Writes nothing
    Verify(Verify),
}

impl Command {
    /// Whether the command is a client of the cluster, which it looks for once.
    pub(crate) fn is_of_client(&self) -> bool {
        match self {
            Command::Add(_)
            | Command::Watch(_)
            | Command::Export(_)
            | Command::Ls(_)
            | Command::Search(_)
            | Command::Albums(_)
            | Command::Artists(_)
            | Command::Genres(_)
            | Command::Years(_)
            | Command::Info(_)
            | Command::Cover(_)
            | Command::Get(_)
            | Command::Play(_)
            | Command::Star(_)
            | Command::Unstar(_)
            | Command::Rate(_)
            | Command::Playlist(_)
            | Command::Rm(_)
            | Command::Trash(_)
            | Command::Status(_)
            | Command::Key(Key {
                action: KeyAction::Check { .. } | KeyAction::Rotate { .. },
            })
            | Command::Resolve(_) => true,
            Command::Serve(_)
            | Command::Demo(_)
            | Command::Node(_)
            | Command::Web(_)
            | Command::Health(_)
            | Command::FindCover(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Key(Key {
                action: KeyAction::Derive { .. } | KeyAction::Show { .. },
            })
            | Command::Config(_)
            | Command::Verify(_) => false,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Files and folders to add at once
    pub(crate) paths: Vec<PathBuf>,
    /// Go on watching the folders among PATHS: what comes into them is added
    #[arg(long)]
    pub(crate) watch: bool,
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port of the DNS node; data and router take the next two. 0 lets the system choose
    #[arg(long, default_value_t = 7700)]
    pub(crate) port: u16,
    /// Port for DNS packets of any program (dig, resolvers), over UDP and TCP; 0 is off, any lets the system choose
    /// [default: 5300, if that is free]
    #[arg(long, value_name = "PORT", value_parser = parse_dns_port)]
    pub(crate) dns_port: Option<DnsPort>,
    /// Where the library lives; closed to other users [default: dispotify/serve in the data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Share of this node among the data nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) weight: u16,
    /// Address of the web player, or off [default: 127.0.0.1:8080, if that is free]
    #[arg(long, value_name = "IP:PORT", value_parser = parse_page)]
    pub(crate) web: Option<Page>,
    /// A name by which the page may be reached, beside localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) allow_host: Vec<String>,
    /// Let the page remove songs although it can be reached from other machines
    #[arg(long)]
    pub(crate) allow_delete: bool,
}

/// Whether the web player runs, and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Off,
    At(SocketAddr),
}

fn parse_page(text: &str) -> Result<Page, String> {
    if text == "off" {
        return Ok(Page::Off);
    }
    let address = text.parse().map(Page::At);
    address.map_err(|_| "write an IP address with its port, or off".to_owned())
}

/// Whether and where a DNS node answers DNS packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsPort {
    Off,
    /// The system chooses.
    Any,
    At(u16),
}

fn parse_dns_port(text: &str) -> Result<DnsPort, String> {
    match text {
        "0" | "off" => Ok(DnsPort::Off),
        "any" => Ok(DnsPort::Any),
        _ => {
            let port = text.parse().map(DnsPort::At);
            port.map_err(|_| "write a port from 1 to 65535, 0 for none, or any".to_owned())
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Files and folders to play with [default: a few melodies made on the spot]
    pub(crate) paths: Vec<PathBuf>,
    /// Address of the web player; port 0 lets the system choose
    #[arg(long, value_name = "IP:PORT", default_value = WEB)]
    pub(crate) web: SocketAddr,
    /// Port of all six nodes; 0 lets the system choose
    #[arg(long, default_value_t = 7700, hide = true)]
    pub(crate) port: u16,
    /// A name by which the page may be reached, beside localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) allow_host: Vec<String>,
    /// Let the page remove songs although it can be reached from other machines
    #[arg(long)]
    pub(crate) allow_delete: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Web {
    /// Address of the page; port 0 lets the system choose
    #[arg(long, value_name = "IP:PORT", default_value = WEB)]
    pub(crate) listen: SocketAddr,
    /// A name by which the page may be reached, beside localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) allow_host: Vec<String>,
    /// Let the page remove songs although it can be reached from other machines
    #[arg(long)]
    pub(crate) allow_delete: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Ids of songs, or as many digits as make each unique
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Remove them for good at once, in the trash or not: the same file cannot be added again
    #[arg(long)]
    pub(crate) for_good: bool,
    /// One JSON object per song
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Star {
    /// Ids of songs, or as many digits as make each unique
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// One JSON object per song
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rate {
    /// The song's id, or as many leading digits as make it unique
    pub(crate) id: String,
    /// From 1 to 5; 0 takes the rating
    #[arg(value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(crate) stars: u8,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Playlists {
    #[command(subcommand)]
    pub(crate) action: Option<PlaylistAction>,
    /// One JSON object per playlist or song
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlaylistAction {
    /// List the playlists
    Ls,
    /// Make a playlist
    New {
        /// Its name
        name: String,
        /// Ids of its first songs, or as many digits as make each unique
        ids: Vec<String>,
    },
    /// Add songs at the end
    Add {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
        /// Ids of songs, or as many digits as make each unique
        #[arg(required = true)]
        ids: Vec<String>,
        /// Put them in before the song with this number instead
        #[arg(long, value_name = "N", value_parser = parse_place)]
        at: Option<usize>,
    },
    /// Remove songs from a playlist, wherever they stand in it; the library keeps them
    Rm {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
        /// Ids of songs, or as many digits as make each unique within the playlist
        ids: Vec<String>,
        /// The songs with these numbers, as `playlist show` has them
        #[arg(long, value_name = "N,...", value_parser = parse_place, value_delimiter = ',')]
        at: Vec<usize>,
    },
    /// Move a song within a playlist
    Move {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
        /// The number of the song, as `playlist show` has it
        #[arg(value_parser = parse_place)]
        from: usize,
        /// The number that it is to have
        #[arg(value_parser = parse_place)]
        to: usize,
    },
    /// Show the songs of a playlist
    Show {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
    },
    /// Give a playlist another name
    Rename {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
        /// Its new name
        to: String,
    },
    /// Delete a playlist; the library keeps its songs
    Delete {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
    },
    /// Write a playlist as an M3U8 file
    Export {
        /// The playlist: its name, or eight digits of its id or more
        name: String,
        /// File to write, replaced if it is there; - for standard output
        file: PathBuf,
    },
    /// Make a playlist of an M3U8 file, of the songs that the library has
    Import {
        /// The file
        file: PathBuf,
        /// The name of the playlist [default: the one in the file, or the file's]
        #[arg(long)]
        name: Option<String>,
    },
}

/// The number of a song in a list, from 1.
fn parse_place(text: &str) -> Result<usize, String> {
    let place = text.parse().ok().filter(|place| *place > 0);
    place.ok_or_else(|| "write the number of a song, from 1".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct Trash {
    #[command(subcommand)]
    pub(crate) action: Option<TrashAction>,
    /// One JSON object per song
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashAction {
    /// List the songs in the trash, the latest first
    Ls {
        /// One JSON object per song instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Take songs back out of the trash
    Restore {
        /// Ids of songs, or as many digits as make each unique within the trash
        #[arg(required = true)]
        ids: Vec<String>,
        /// One JSON object per song
        #[arg(long)]
        json: bool,
    },
    /// Remove songs in the trash for good, all of them without ids: the same file cannot be added again
    Empty {
        /// Ids of songs, or as many digits as make each unique within the trash
        ids: Vec<String>,
        /// One JSON object per song
        #[arg(long)]
        json: bool,
    },
}

/// The default address of the web player: reachable from this machine only.
pub(crate) const WEB: &str = "127.0.0.1:8080";

#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    /// What the node does; auto takes the role that is needed most
    pub(crate) role: RoleChoice,
    /// Address to listen on, as the others reach it [default: the machine's address, if it has one only]
    #[arg(long, value_name = "IP")]
    pub(crate) host: Option<IpAddr>,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 7700)]
    pub(crate) port: u16,
    /// Of a DNS node: port for DNS packets of any program (dig, resolvers), over UDP and TCP; 0 is off, any lets the system choose
    /// [default: 5300, if that is free]
    #[arg(long, value_name = "PORT", value_parser = parse_dns_port)]
    pub(crate) dns_port: Option<DnsPort>,
    /// Where its identity and its songs live; closed to other users [default: below dispotify in the
    /// data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Share of this node among the data nodes, for unequal disks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) weight: u16,
    /// Serve the page in this process, too, at this address; port 0 lets the system choose
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) web: Option<SocketAddr>,
    /// A name by which the page may be reached, beside localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) allow_host: Vec<String>,
    /// Let the page remove songs although it can be reached from other machines
    #[arg(long)]
    pub(crate) allow_delete: bool,
    /// When told to stop, hand all songs over first; told twice, stop at once
    #[arg(long)]
    pub(crate) drain: bool,
    /// End when standard input ends: a parent holds it open, and it ends with the parent
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// The roles of the command line; the numbers are the report's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    #[value(alias = "0")]
    Auto,
    #[value(alias = "1")]
    Data,
    #[value(alias = "2")]
    Dns,
    #[value(alias = "3")]
    Router,
}

impl RoleChoice {
    /// The fixed role; `None` for `auto`.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            RoleChoice::Auto => None,
            RoleChoice::Data => Some(Role::Data),
            RoleChoice::Dns => Some(Role::Dns),
            RoleChoice::Router => Some(Role::Router),
        }
    }

    /// The role's name in paths and messages.
    pub(crate) fn name(self) -> &'static str {
        self.role().map_or("auto", Role::name)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Files and folders; in folders, files that look like music
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One JSON object per file instead of words
    #[arg(long)]
    pub(crate) json: bool,
    /// Add nothing: read the files, and say which of them the library lacks
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// Name what is skipped in folders, too
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file is added when it has been closed or moved into its folder, and has not changed for two seconds. What is \
deleted in a folder stays in the library (see `dispotify rm`)."
)]
pub(crate) struct Watch {
    /// The folders, with all below them
    #[arg(required = true, value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,
    /// Also look through all of them so often: where other machines write into them (NFS, SMB), the kernel sees
    /// nothing [default: never]
    #[arg(long, value_name = "TIME", value_parser = crate::settings::rescan_every)]
    pub(crate) rescan: Option<Duration>,
    /// Forget what was added before, and look at every file again: for a library that has lost songs
    #[arg(long)]
    pub(crate) again: bool,
    /// One JSON object per file instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The order [default: artist; with --album, as on the album]
    #[arg(long, value_enum)]
    pub(crate) sort: Option<SortChoice>,
    /// Only songs of this album: its id (see `albums`), eight digits or more, or words of its title
    #[arg(long, value_name = "ID|TITLE")]
    pub(crate) album: Option<String>,
    /// Only songs by this artist: the id (see `artists`), eight digits or more, or words of the name
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) artist: Option<String>,
    /// Only songs with a star
    #[arg(long)]
    pub(crate) starred: bool,
    /// At most this many songs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// The order reversed
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// One JSON object per song instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// A line of this form per song instead of a table: '{artist} - {title}', with the names of --json;
    /// {title:30} takes 30 columns, {year:>6} six with the value to the right
    #[arg(long, value_name = "FORM", conflicts_with = "json", value_parser = Template::parse)]
    pub(crate) format: Option<Template>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// What is searched for: each word occurs in title, artist, album, genre, year or composer. Words
    /// with a minus stand behind --
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) list: List,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Albums {
    /// Only albums of this artist, or on which this artist performs: the id or words of the name
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) artist: Option<String>,
    /// The order
    #[arg(long, value_enum, default_value = "artist")]
    pub(crate) sort: AlbumSortChoice,
    #[command(flatten)]
    pub(crate) list: Groups,
}

/// A list of albums, artists, genres or years.
#[derive(Debug, clap::Args)]
pub(crate) struct Groups {
    /// A search, as for songs
    pub(crate) words: Vec<String>,
    /// The order reversed
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// At most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// One JSON object per line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// A line of this form instead of a table, with the names of --json (see `ls --help`)
    #[arg(long, value_name = "FORM", conflicts_with = "json", value_parser = Template::parse)]
    pub(crate) format: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlbumSortChoice {
    Artist,
    Title,
    Year,
    /// When the last of its songs was added
    Added,
}

impl From<AlbumSortChoice> for AlbumSort {
    fn from(choice: AlbumSortChoice) -> Self {
        match choice {
            AlbumSortChoice::Artist => AlbumSort::Artist,
            AlbumSortChoice::Title => AlbumSort::Title,
            AlbumSortChoice::Year => AlbumSort::Year,
            AlbumSortChoice::Added => AlbumSort::Added,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// The song's id, or as many leading digits as make it unique
    pub(crate) id: String,
    /// One JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cover {
    /// The song's id, or as many leading digits as make it unique
    pub(crate) id: String,
    /// File to write, replaced if it is there; - for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortChoice {
    Artist,
    Title,
    Album,
    Genre,
    Year,
    Duration,
    /// When it was added
    Added,
    /// Those played most often first; only songs that were played
    Played,
    /// The last played first; only songs that were played
    LastPlayed,
}

impl SortChoice {
    /// The order that a router makes.
    pub(crate) fn of_routers(self) -> Option<Sort> {
        match self {
            SortChoice::Artist => Some(Sort::Artist),
            SortChoice::Title => Some(Sort::Title),
            SortChoice::Album => Some(Sort::Album),
            SortChoice::Genre => Some(Sort::Genre),
            SortChoice::Year => Some(Sort::Year),
            SortChoice::Duration => Some(Sort::Duration),
            SortChoice::Added => Some(Sort::Added),
            SortChoice::Played | SortChoice::LastPlayed => None,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The song's id, or as many leading digits as make it unique
    #[arg(required_unless_present = "album")]
    pub(crate) id: Option<String>,
    /// All songs of this album instead: its id (see `albums`), or words of its title. They go to a folder,
    /// which -o names [default: a new one of artist and title in this folder]
    #[arg(long, value_name = "ID|TITLE", conflicts_with = "id")]
    pub(crate) album: Option<String>,
    /// File to write, replaced if it is there and then of the same mode; a folder; - for standard output [default: a new
    /// file of artist and title in this folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// One JSON object at the end instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "No file is ever replaced: where another file has a song's name, digits of its id are added. Ctrl-C ends; \
the same command goes on."
)]
pub(crate) struct Export {
    /// The folder; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Only the songs that a search finds
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// What files are named by: tags, as Artist/Album/01 Title.flac, or the songs' ids
    #[arg(long, value_enum, default_value = "tags")]
    pub(crate) by: NamesBy,
    /// Take a file of the right name and size for the song, without reading it
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only tell what would be fetched
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object per song instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

/// What exported files are named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NamesBy {
    Tags,
    Id,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Play {
    /// The song's id, or as many leading digits as make it unique
    #[arg(required_unless_present_any = ["album", "artist", "search"])]
    pub(crate) id: Option<String>,
    /// All songs of this album, in order: its id (see `albums`), or words of its title
    #[arg(long, value_name = "ID|TITLE", conflicts_with = "id")]
    pub(crate) album: Option<String>,
    /// All songs by this artist, album by album: the id (see `artists`), or words of the name
    #[arg(long, value_name = "ID|NAME", conflicts_with_all = ["id", "album"])]
    pub(crate) artist: Option<String>,
    /// All songs that a search finds, by artist
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["id", "album", "artist"])]
    pub(crate) search: Option<String>,
    /// Begin at this moment of the first song
    #[arg(long, value_name = "[[H:]M:]SS", value_parser = crate::text::parse_moment)]
    pub(crate) from: Option<u32>,
    /// Write the file's bytes to standard output instead of to a player
    #[arg(long)]
    pub(crate) stdout: bool,
    /// The player, reading from standard input [default: the first found of mpv, ffplay, cvlc, play]
    #[arg(long, value_name = "COMMAND", env = "DISPOTIFY_PLAYER")]
    pub(crate) player: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// One JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again and again, by default every 2s, until Ctrl-C; with --json one object per line
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s", value_parser = crate::settings::watch_every)]
    pub(crate) watch: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 it is well, 1 it answers and is not well, 2 usage, 3 it does not answer or refuses the key."
)]
pub(crate) struct Health {
    /// The node; the port defaults to 7700 [default: the first one found at this machine's addresses]
    #[arg(value_name = "ADDR[:PORT]", conflicts_with = "web")]
    pub(crate) node: Option<String>,
    /// A page instead of a node: it is well when a router answers it
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) web: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resolve {
    /// dispotify.data, dispotify.router or dispotify.dns
    pub(crate) name: String,
    /// One JSON object per record instead of lines as dig prints them
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder; made if it is not there
    pub(crate) folder: PathBuf,
}

/// Values for links of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// One local network
    #[default]
    Lan,
    /// Links of 100 to 300 ms, as between two homes
    Wan,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Say what is wrong in a file, with the lines; 1 if anything is
    Check {
        /// The file [default: those that count]
        file: Option<PathBuf>,
    },
    /// Print every value that is in force, and whether a flag, the environment, a file, the preset or the default gives it
    Show {
        /// One JSON object per value
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Print the key for a purpose, made from the cluster key. Write it to a file that nobody else can
    /// read: (umask 077; dispotify key derive listen > FILE)
    Derive {
        /// What its holder may do
        right: RightChoice,
    },
    /// Say which keys this machine has, by fingerprints that reveal nothing
    Show {
        /// Print the keys themselves as well
        #[arg(long)]
        secret: bool,
        /// One JSON object per key
        #[arg(long)]
        json: bool,
    },
    /// Ask every node whether it accepts the keys of this machine; 1 if one refuses any
    Check {
        /// One JSON object per key and node
        #[arg(long)]
        json: bool,
    },
    /// Change the cluster key while everything plays: add, use, remove, each followed by a copy of the key file
    /// to all machines and a restart of one node after the other
    Rotate {
        #[command(subcommand)]
        step: RotateStep,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum RotateStep {
    /// Add a new key to the key file: nodes that have it accept both
    Add,
    /// Put the new key in front: nodes that have it dial by it, and accept both. Refused before every node accepts it
    Use {
        /// Although a node refuses it, or does not answer
        #[arg(long)]
        force: bool,
    },
    /// Remove all keys but the first. Refused while a node refuses that one
    Remove {
        /// Although a node refuses the first key, or does not answer
        #[arg(long)]
        force: bool,
    },
}

/// The purposes of derived keys; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RightChoice {
    /// List, search, play and fetch songs, and see the state of the cluster
    Listen,
    /// Add songs as well
    Upload,
    /// Remove songs as well
    Admin,
}

impl From<RightChoice> for Right {
    fn from(choice: RightChoice) -> Self {
        match choice {
            RightChoice::Listen => Right::Listen,
            RightChoice::Upload => Right::Upload,
            RightChoice::Admin => Right::Admin,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct FindCover {
    /// Name of the file's format
    pub(crate) format: String,
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The data directory of a data node, or of `serve` [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Leave the sound alone: only what is known about it
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON object instead of words
    #[arg(long)]
    pub(crate) json: bool,
}
