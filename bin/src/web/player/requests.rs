//! Requests: dispatches each request to the code that answers it.

use super::*;

impl Player {
    pub(super) fn on_request(
        &mut self,
        now: Time,
        exchange: Exchange,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        if let Err((status, why)) = self.guard.check(request) {
            return self.refuse(exchange, status, &why, acts);
        }
        let Some(route) = Route::of(&request.path) else {
            return self.refuse(exchange, 404, "there is nothing at this address", acts);
        };
        self.metrics.is_for(exchange, route.name());
        if !route.allows(request.method) {
            let (mut head, body) = answer::error(405, "this cannot be done here");
            head.fields.push(("Allow", route.methods().to_owned()));
            return self.give(exchange, head, body, acts);
        }
        // Who may remove may take back.
        if matches!(route, Route::Trashed(_)) && !self.guard.may_remove() {
            return self.refuse(exchange, 403, NO_REMOVAL, acts);
        }
        match route {
            Route::Songs if request.method == Method::Post => {
                self.on_upload(now, exchange, request, acts);
            }
            Route::Songs => self.on_list(exchange, request, acts),
            Route::Song(song) if request.method == Method::Delete => {
                self.change(exchange, song, Fate::Trash);
            }
            Route::Song(song) => self.on_details(exchange, song),
            Route::Tags(song) => self.on_tags(exchange, song),
            Route::Albums | Route::Album(_) | Route::Artists | Route::Genres | Route::Years => {
                match browse::question(&route, request) {
                    Ok(question) => self.browse(exchange, question),
                    Err(why) => self.refuse(exchange, 400, &why, acts),
                }
            }
            Route::Trash => match api::trash_query(request) {
                Ok((after, limit)) => {
                    let operation = self.asked(exchange);
                    self.command(Command::ListTrash {
                        operation,
                        after,
                        limit,
                    });
                }
                Err(why) => self.refuse(exchange, 400, &why, acts),
            },
            Route::Trashed(song) if request.method == Method::Delete => {
                self.change(exchange, song, Fate::Emptied);
            }
            Route::Trashed(song) => self.change(exchange, song, Fate::Here),
            Route::Stars
            | Route::Star(_)
            | Route::Ratings
            | Route::Rating(_)
            | Route::Plays
            | Route::Play(_)
            | Route::Playlists
            | Route::Playlist(_) => self.on_listening(exchange, &route, request, acts),
            Route::Status => {
                let operation = self.asked(exchange);
                self.command(Command::Status { operation });
            }
            Route::Metrics => {
                self.metrics.want();
                let purpose = Purpose::Metrics(exchange, Format::of(request));
                let operation = self.operation(purpose);
                let asked = ExchangeState::Asked(operation);
                self.exchanges.insert(exchange, asked);
                self.command(Command::Status { operation });
            }
            Route::Events => self.on_listener(now, exchange, request, acts),
            Route::Stream(song) => self.on_stream(exchange, song, request, false, acts),
            Route::Download(song) => self.on_stream(exchange, song, request, true, acts),
            Route::Cover(song) => self.on_cover(now, exchange, song, request, acts),
            Route::File(path) => self.on_file(exchange, &path, request, acts),
        }
    }

    fn on_file(&mut self, exchange: Exchange, path: &str, request: &Request, acts: &mut Vec<Act>) {
        let Some(mut asset) = self.assets.find(path) else {
            return self.refuse(exchange, 404, "there is nothing at this address", acts);
        };
        if range::is_known(request.field("if-none-match"), &asset.tag) {
            asset.head.status = 304;
        }
        self.give(exchange, asset.head, asset.bytes, acts);
    }

    /// Answers with all figures; without those of the cluster when no router answers.
    pub(super) fn give_metrics(
        &mut self,
        (exchange, format): (Exchange, Format),
        cluster: Option<&Status>,
        acts: &mut Vec<Act>,
    ) {
        let text = self
            .metrics
            .text(format, cluster, self.buffer_budget.bytes());
        let mut head = answer::head(200, format.media_type(), text.len() as u64);
        head.fields.push(("Cache-Control", "no-store".to_owned()));
        self.give(exchange, head, text.into_bytes(), acts);
    }

    fn on_list(&mut self, exchange: Exchange, request: &Request, acts: &mut Vec<Act>) {
        let wish = api::query(request).and_then(|query| Ok((query, api::from(request)?)));
        match wish {
            Ok((query, Some(from))) => self.browse(exchange, Browse::Songs { query, from }),
            Ok((query, None)) => {
                let operation = self.asked(exchange);
                self.command(Command::List { operation, query });
            }
            Err(why) => self.refuse(exchange, 400, &why, acts),
        }
    }

    fn browse(&mut self, exchange: Exchange, browse: Browse) {
        let operation = self.asked(exchange);
        self.command(Command::Browse { operation, browse });
    }

    fn change(&mut self, exchange: Exchange, song: SongId, to: Fate) {
        let operation = self.asked(exchange);
        self.command(Command::Change {
            operation,
            song: song.into(),
            to,
        });
    }

    fn on_details(&mut self, exchange: Exchange, song: SongId) {
        let operation = self.asked(exchange);
        self.open_with_holders(operation, song);
    }

    /// Opens a song, and has its holders named even if the cache has the whole song.
    pub(super) fn open_with_holders(&mut self, operation: OperationId, song: SongId) {
        self.command(Command::Open {
            operation,
            song: song.into(),
            holders: true,
        });
    }

    fn on_listener(
        &mut self,
        now: Time,
        exchange: Exchange,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        let mut head = answer::head(200, "text/event-stream", 0);
        head.fields.push(("Cache-Control", "no-store".to_owned()));
        head.length = None;
        if request.method == Method::Head {
            return acts.push(Act::Answer { exchange, head });
        }
        if !self.events.listen(now, exchange) {
            return self.refuse(exchange, 503, "too many pages listen already", acts);
        }
        self.exchanges.insert(exchange, ExchangeState::Listener);
        acts.push(Act::Answer { exchange, head });
    }
}
