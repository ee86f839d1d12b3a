// Every text a person reads, in the browser's language: Spanish where it asks for that, else
// English. The two lists have the same keys; a text is a string with {0}, {1}, or a function.

const and = (list, word) =>
  list.length < 2 ? list.join('') : `${list.slice(0, -1).join(', ')} ${word} ${list.at(-1)}`;

/** A number with the marks of its language. */
const many = (n) => n.toLocaleString(document.documentElement.lang);

const en = {
  skip: 'Skip to the songs', load: 'Load', play: 'Play', pause: 'Pause', stop: 'Stop',
  download: 'Download', upload: 'Upload', search: 'Search the library', help: 'Keys and help', views: 'Views',
  songs: 'Songs', queue: 'Queue', ring: 'Ring', starred: 'Starred', panels: 'Ring and queue',
  sortBy: 'Sort by', byTitle: 'Title', byArtist: 'Artist', byAlbum: 'Album', byGenre: 'Genre',
  byYear: 'Year', byDuration: 'Length', descending: 'Descending',
  happened: 'What happened', nodes: 'Nodes', queueTitle: 'Up next', clear: 'Clear',
  queueEmpty: 'Nothing is waiting. When a song ends, the list goes on from there.',
  player: 'Player', nothing: 'Nothing is playing', star: 'Star', unstar: 'Remove star', shuffle: 'Shuffle',
  previous: 'Previous', next: 'Next', repeat: 'Repeat', repeatOff: 'Repeat: off', repeatAll: 'Repeat: all', repeatOne: 'Repeat: this song',
  mute: 'Mute', volume: 'Volume', seek: 'Position in the song', close: 'Close', menu: 'Song menu',
  uploadTitle: 'Upload music', drop: 'Drop files here', dropMore: 'or click to choose them: WAV, MP3, FLAC, Ogg, Opus, M4A',
  dropAnywhere: 'Drop to upload', uploads: 'Uploads', keys: 'Keys',
  playNow: 'Play now', playNext: 'Play next', addLast: 'Add last', cancel: 'Cancel', retry: 'Try again',
  more: 'More for {0}', playSong: 'Play {0}', playSongBy: 'Play {0} by {1}', pauseSong: 'Pause {0}', moveEntry: 'Move {0}', removeEntry: 'Remove {0} from the queue',
  untitled: 'Untitled', unknownArtist: 'Unknown artist', playing: 'Playing',
  count: (n) => (n === 1 ? '1 song' : `${many(n)} songs`),
  found: (n, words) => `${n === 1 ? '1 song' : `${many(n)} songs`} for “${words}”`,
  copies: (n) => (n === 1 ? '1 copy' : `${n} copies`),
  emptyTitle: 'No songs yet', empty: 'Upload some music: it is cut into fragments and kept on several nodes.',
  noneTitle: 'No song matches', none: 'Try fewer or shorter words.',
  noStarsTitle: 'No stars yet', noStars: 'Press f while a song plays, or use the star in its menu. Stars stay in this browser.',
  listFailedTitle: 'The list did not come',
  addedNext: '“{0}” plays next', addedLast: '“{0}” is in the queue',
  loaded: (n) => (n === 1 ? '1 song loaded' : `${n} songs loaded`),
  nowPlaying: 'Now playing: {0}, {1}', stopped: 'Stopped',
  from: 'from {0}', sinceDown: 'it is down now', fromCache: 'from the cache', waitingFragment: 'asking for the first fragment',
  areDown: (names) => `${and(names, 'and')} ${names.length === 1 ? 'is' : 'are'} down`,
  position: '{0} of {1}',
  away: (s) => `The player’s server does not answer. Trying again in ${s} s.`,
  awayNow: 'The player’s server does not answer. Trying again now.',
  waiting: 'Waiting for a node that has this fragment.',
  gone: 'This song is no longer in the library.',
  format: 'This browser cannot play this format ({0}). Download works.',
  blocked: 'The browser wants a click first: press Play.',
  needsServer: 'the server does not answer',
  failedWith: 'the server answered {0}',
  allWell: (n) => (n === 1 ? 'The one node answers' : `All ${n} nodes answer`),
  someSuspect: (names) => `${and(names, 'and')} ${names.length === 1 ? 'is' : 'are'} silent`,
  areFull: (names) => `${names.length === 1 ? 'The disk' : 'The disks'} of ${and(names, 'and')} ${names.length === 1 ? 'is' : 'are'} full`,
  fullCure: 'Remove songs or other files there, or start a data node on another disk.',
  noStatus: 'Asking for the nodes', lostServer: 'No contact with the player’s server',
  fullCopies: (n) => ['No data node is alive.', 'One copy of each song: a second data node would keep another.',
    'Two copies of each song: a third data node would keep another.'][n] ?? 'Three copies of each song.',
  missingCopies: (n) => (n === 1 ? '1 copy is missing.' : `${n} copies are missing.`),
  goesOn: 'The music goes on from the others.',
  role_data: 'data', role_router: 'router', role_dns: 'DNS',
  state_alive: 'alive', state_suspect: 'silent', state_dead: 'down', state_draining: 'draining', state_sick: 'disk ails', state_full: 'disk full', state_gone: 'gone',
  is_alive: '{0} answers again', is_suspect: '{0} has fallen silent', is_dead: '{0} is down', is_draining: '{0} hands its songs over', is_sick: 'The disk of {0} does not answer, or its library was damaged', is_full: 'The disk of {0} is full',
  is_gone: '{0} has left', is_new: '{0} has joined', is_role: '{0} is {1} now, it was {2}',
  alertOf: 'Alert: {0}', alertBy: 'Alert: {0}, raised by {1}', switchOf: 'Role change: {0} to {1}',
  nodeLabel: '{0}, {1}, {2}',
  up_waiting: 'Waiting', up_storing: 'Being stored on the nodes', up_added: (n) => `Added, ${n === 1 ? '1 copy' : `${n} copies`} so far`,
  up_known: 'Already in the library', up_failed: 'Not uploaded: {0}', up_cancelled: 'Cancelled', up_sending: '{0} of {1}',
  up_empty: 'the file is empty',
  up_lost: 'the connection broke',
  trash: 'Trash', remove: 'Remove', undo: 'Undo', restore: 'Take back', showMore: 'Show more',
  removed: '“{0}” is in the trash: it can be taken back', removedForGood: '“{0}” is removed for good', restored: '“{0}” is back',
  trashWhat: 'What was removed can be taken back from here until its time is over. Adding the same file again takes it back, too.',
  trashEmpty: 'The trash is empty.', restoreSong: 'Take {0} back', removeForGood: 'Remove {0} for good',
  removeForGoodSure: 'Remove “{0}” for good? The same file cannot be added again.',
  goesIn: (n) => (n === 1 ? 'goes for good within a day' : `goes for good in ${n} days`),
  home: 'Home', albums: 'Albums', artists: 'Artists', genres: 'Genres', years: 'Years', library: 'Library', places: 'Places of the library',
  album: 'Album', artist: 'Artist', disc: 'Disc {0}', discCount: (n) => `${n} discs`,
  albumCount: (n) => (n === 1 ? '1 album' : `${many(n)} albums`), artistCount: (n) => (n === 1 ? '1 artist' : `${many(n)} artists`),
  genreCount: (n) => (n === 1 ? '1 genre' : `${many(n)} genres`),
  recentlyAdded: 'Recently added', randomAlbums: 'Picked at random', others: 'Show others', playAlbum: 'Play {0}', shufflePlay: 'Shuffle',
  toAlbum: 'Go to the album', toArtist: 'Go to the artist', noArtist: 'There is no such artist.',
  albums_artist: 'Artist', albums_title: 'Title', albums_year: 'Year', albums_added: 'Last added',
  pick: 'Select', unpick: 'Do not select', picked: '{0}, selected', picks: 'Selected songs', unpickAll: 'Select nothing',
  pickedCount: (n) => (n === 1 ? '1 selected' : `${n} selected`), manyNext: (n) => `${n === 1 ? '1 song plays' : `${n} songs play`} next`,
  manyLast: (n) => `${n === 1 ? '1 song is' : `${n} songs are`} in the queue`, removeMany: (n) => `Move ${n === 1 ? '1 song' : `${n} songs`} into the trash?`,
  sound: 'Sleep timer and loudness', soundSleep: (n) => `Sleep timer: ${n} min left`, sleepTimer: 'Sleep timer', sleepOff: 'Off', sleepSong: 'End of the song',
  minutes: (n) => `${n} minutes`, loudness: 'Loudness (ReplayGain)', loud_off: 'As in the file', loud_song: 'Equal for all songs', loud_album: 'Equal for all albums',
  lyrics: 'Lyrics', lyricsNone: 'The file of this song has no lyrics.', lyricsNothing: 'Lyrics of the song that plays stand here.',
  k_lyrics: 'Lyrics', k_pick: 'Select songs', k_back: 'Back', k_home: 'Home', k_albums: 'Albums',
  k_play: 'Play or pause', k_seek: 'Ten seconds back or on', k_next: 'Next or previous song', k_search: 'Search', k_mute: 'Mute',
  k_shuffle: 'Shuffle', k_repeat: 'Repeat', k_star: 'Star', k_queue: 'Queue or ring', k_help: 'This help', k_list: 'Through the list; Enter plays',
};

const es = {
  skip: 'Ir a las canciones', load: 'Cargar', play: 'Reproducir', pause: 'Pausa', stop: 'Parar',
  download: 'Descargar', upload: 'Subir', search: 'Buscar en la biblioteca', help: 'Teclas y ayuda', views: 'Vistas',
  songs: 'Canciones', queue: 'Cola', ring: 'Anillo', starred: 'Favoritas', panels: 'Anillo y cola',
  sortBy: 'Ordenar por', byTitle: 'Título', byArtist: 'Artista', byAlbum: 'Álbum', byGenre: 'Género',
  byYear: 'Año', byDuration: 'Duración', descending: 'Descendente',
  happened: 'Qué ha pasado', nodes: 'Nodos', queueTitle: 'A continuación', clear: 'Vaciar',
  queueEmpty: 'No hay nada en espera. Cuando una canción termina, sigue la lista.',
  player: 'Reproductor', nothing: 'No suena nada', star: 'Marcar como favorita', unstar: 'Quitar de favoritas', shuffle: 'Al azar',
  previous: 'Anterior', next: 'Siguiente', repeat: 'Repetir', repeatOff: 'Repetir: no', repeatAll: 'Repetir: todo', repeatOne: 'Repetir: esta canción',
  mute: 'Silenciar', volume: 'Volumen', seek: 'Posición en la canción', close: 'Cerrar', menu: 'Menú de la canción',
  uploadTitle: 'Subir música', drop: 'Suelta los archivos aquí', dropMore: 'o pulsa para elegirlos: WAV, MP3, FLAC, Ogg, Opus, M4A',
  dropAnywhere: 'Suelta para subir', uploads: 'Subidas', keys: 'Teclas',
  playNow: 'Reproducir ahora', playNext: 'Poner después', addLast: 'Añadir al final', cancel: 'Cancelar', retry: 'Reintentar',
  more: 'Más sobre {0}', playSong: 'Reproducir {0}', playSongBy: 'Reproducir {0} de {1}', pauseSong: 'Pausar {0}', moveEntry: 'Mover {0}', removeEntry: 'Quitar {0} de la cola',
  untitled: 'Sin título', unknownArtist: 'Artista desconocido', playing: 'Sonando',
  count: (n) => (n === 1 ? '1 canción' : `${many(n)} canciones`),
  found: (n, words) => `${n === 1 ? '1 canción' : `${many(n)} canciones`} para «${words}»`,
  copies: (n) => (n === 1 ? '1 copia' : `${n} copias`),
  emptyTitle: 'Aún no hay canciones', empty: 'Sube música: se corta en fragmentos y se guarda en varios nodos.',
  noneTitle: 'Ninguna canción coincide', none: 'Prueba con menos palabras o más cortas.',
  noStarsTitle: 'Aún no hay favoritas', noStars: 'Pulsa f mientras suena una canción, o usa la estrella de su menú. Se guardan solo en este navegador.',
  listFailedTitle: 'La lista no ha llegado',
  addedNext: '«{0}» suena después', addedLast: '«{0}» está en la cola',
  loaded: (n) => (n === 1 ? '1 canción cargada' : `${n} canciones cargadas`),
  nowPlaying: 'Suena: {0}, {1}', stopped: 'Parado',
  from: 'de {0}', sinceDown: 'ya no responde', fromCache: 'de la caché', waitingFragment: 'pidiendo el primer fragmento',
  areDown: (names) => `${and(names, 'y')} no ${names.length === 1 ? 'responde' : 'responden'}`,
  position: '{0} de {1}',
  away: (s) => `El servidor del reproductor no responde. Nuevo intento en ${s} s.`,
  awayNow: 'El servidor del reproductor no responde. Nuevo intento ahora.',
  waiting: 'Esperando a un nodo que tenga este fragmento.',
  gone: 'Esta canción ya no está en la biblioteca.',
  format: 'Este navegador no puede reproducir este formato ({0}). Descargar sí funciona.',
  blocked: 'El navegador pide antes un clic: pulsa Reproducir.',
  needsServer: 'el servidor no responde',
  failedWith: 'el servidor respondió {0}',
  allWell: (n) => (n === 1 ? 'El único nodo responde' : `Los ${n} nodos responden`),
  someSuspect: (names) => `${and(names, 'y')} ${names.length === 1 ? 'calla' : 'callan'}`,
  areFull: (names) => `${names.length === 1 ? 'El disco' : 'Los discos'} de ${and(names, 'y')} ${names.length === 1 ? 'está lleno' : 'están llenos'}`,
  fullCure: 'Quita canciones u otros archivos de allí, o inicia un nodo de datos en otro disco.',
  noStatus: 'Preguntando por los nodos', lostServer: 'Sin contacto con el servidor del reproductor',
  fullCopies: (n) => ['Ningún nodo de datos está vivo.', 'Una copia de cada canción: un segundo nodo de datos guardaría otra.',
    'Dos copias de cada canción: un tercer nodo de datos guardaría otra.'][n] ?? 'Tres copias de cada canción.',
  missingCopies: (n) => (n === 1 ? 'Falta 1 copia.' : `Faltan ${n} copias.`),
  goesOn: 'La música sigue desde los demás.',
  role_data: 'datos', role_router: 'router', role_dns: 'DNS',
  state_alive: 'vivo', state_suspect: 'callado', state_dead: 'caído', state_draining: 'vaciándose', state_sick: 'disco enfermo', state_full: 'disco lleno', state_gone: 'fuera',
  is_alive: '{0} vuelve a responder', is_suspect: '{0} se ha callado', is_dead: '{0} no responde', is_draining: '{0} entrega sus canciones', is_sick: 'El disco de {0} no responde, o su biblioteca estaba dañada', is_full: 'El disco de {0} está lleno',
  is_gone: '{0} se ha ido', is_new: '{0} se ha unido', is_role: '{0} es ahora {1}, era {2}',
  alertOf: 'Alerta: {0}', alertBy: 'Alerta: {0}, dada por {1}', switchOf: 'Cambio de rol: {0} a {1}',
  nodeLabel: '{0}, {1}, {2}',
  up_waiting: 'En espera', up_storing: 'Guardándose en los nodos', up_added: (n) => `Añadida, ${n === 1 ? '1 copia' : `${n} copias`} por ahora`,
  up_known: 'Ya estaba en la biblioteca', up_failed: 'No se ha subido: {0}', up_cancelled: 'Cancelada', up_sending: '{0} de {1}',
  up_empty: 'el archivo está vacío',
  up_lost: 'se cortó la conexión',
  trash: 'Papelera', remove: 'Quitar', undo: 'Deshacer', restore: 'Recuperar', showMore: 'Ver más',
  removed: '«{0}» está en la papelera: se puede recuperar', removedForGood: '«{0}» se ha quitado para siempre', restored: '«{0}» está de vuelta',
  trashWhat: 'Lo que se quitó se puede recuperar desde aquí hasta que acabe su plazo. Añadir otra vez el mismo archivo también lo recupera.',
  trashEmpty: 'La papelera está vacía.', restoreSong: 'Recuperar {0}', removeForGood: 'Quitar {0} para siempre',
  removeForGoodSure: '¿Quitar «{0}» para siempre? El mismo archivo no se podrá añadir otra vez.',
  goesIn: (n) => (n === 1 ? 'desaparece en menos de un día' : `desaparece en ${n} días`),
  home: 'Inicio', albums: 'Álbumes', artists: 'Artistas', genres: 'Géneros', years: 'Años', library: 'Biblioteca', places: 'Partes de la biblioteca',
  album: 'Álbum', artist: 'Artista', disc: 'Disco {0}', discCount: (n) => `${n} discos`,
  albumCount: (n) => (n === 1 ? '1 álbum' : `${many(n)} álbumes`), artistCount: (n) => (n === 1 ? '1 artista' : `${many(n)} artistas`),
  genreCount: (n) => (n === 1 ? '1 género' : `${many(n)} géneros`),
  recentlyAdded: 'Lo último añadido', randomAlbums: 'Elegidos al azar', others: 'Mostrar otros', playAlbum: 'Reproducir {0}', shufflePlay: 'Al azar',
  toAlbum: 'Ir al álbum', toArtist: 'Ir al artista', noArtist: 'No existe ese artista.',
  albums_artist: 'Artista', albums_title: 'Título', albums_year: 'Año', albums_added: 'Lo último añadido',
  pick: 'Seleccionar', unpick: 'No seleccionar', picked: '{0}, seleccionada', picks: 'Canciones seleccionadas', unpickAll: 'No seleccionar nada',
  pickedCount: (n) => (n === 1 ? '1 seleccionada' : `${n} seleccionadas`), manyNext: (n) => (n === 1 ? '1 canción suena después' : `${n} canciones suenan después`),
  manyLast: (n) => (n === 1 ? '1 canción está en la cola' : `${n} canciones están en la cola`), removeMany: (n) => `¿Llevar ${n === 1 ? '1 canción' : `${n} canciones`} a la papelera?`,
  sound: 'Temporizador y volumen igual', soundSleep: (n) => `Temporizador: quedan ${n} min`, sleepTimer: 'Temporizador', sleepOff: 'No', sleepSong: 'Al final de la canción',
  minutes: (n) => `${n} minutos`, loudness: 'Volumen igual (ReplayGain)', loud_off: 'Como en el archivo', loud_song: 'Igual en todas las canciones', loud_album: 'Igual en todos los álbumes',
  lyrics: 'Letra', lyricsNone: 'El archivo de esta canción no tiene letra.', lyricsNothing: 'Aquí está la letra de la canción que suena.',
  k_lyrics: 'Letra', k_pick: 'Seleccionar canciones', k_back: 'Atrás', k_home: 'Inicio', k_albums: 'Álbumes',
  k_play: 'Reproducir o pausar', k_seek: 'Diez segundos atrás o adelante', k_next: 'Canción siguiente o anterior', k_search: 'Buscar', k_mute: 'Silenciar',
  k_shuffle: 'Al azar', k_repeat: 'Repetir', k_star: 'Favorita', k_queue: 'Cola o anillo', k_help: 'Esta ayuda', k_list: 'Por la lista; Intro reproduce',
};

const wished = navigator.languages?.length ? navigator.languages : [navigator.language || 'en'];
const known = wished.map((tag) => tag.toLowerCase().split('-')[0]).find((tag) => tag === 'en' || tag === 'es');

export const language = known || 'en';

const words = language === 'es' ? es : en;

/** The text under this key; what follows fills its places. */
export function t(key, ...args) {
  const text = words[key];
  if (typeof text === 'function') return text(...args);
  return (text ?? key).replace(/\{(\d)\}/g, (_, n) => args[n] ?? '');
}

/** Whether there is such a text: states of nodes may be unknown to this page. */
export const has = (key) => key in words;

/** Puts the texts into the markup, which names them by `data-t`, `data-t-label` and so on. */
export function fillWords(root) {
  document.documentElement.lang = language;
  for (const one of root.querySelectorAll('[data-t]')) one.textContent = t(one.dataset.t);
  for (const one of root.querySelectorAll('[data-t-label]')) label(one, t(one.dataset.tLabel));
  for (const one of root.querySelectorAll('[data-t-placeholder]')) one.placeholder = t(one.dataset.tPlaceholder);
}

/** Names a control for those who hear the page and, where it shows a picture only, as a tip. */
export function label(one, text) {
  one.setAttribute('aria-label', text);
  if (one.matches('.round')) one.title = text;
}
