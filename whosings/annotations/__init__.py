"""Who sings a track, by Deezer, MusicBrainz, Wikidata and Discogs.

A module imports only from rows above its own:

    records     what one source says of one track or one artist
    names       titles and names, taken apart and compared
    web  dumps  asking a service politely; reading a dump as a stream
    deezer  musicbrainz  wikidata  discogs      each source, live and offline, into records
    artists     the same artist in several sources
    matching    the same track in several sources
    verdict     what one record says of who sings
    reconcile   exactly one lead singer or not, and why
    tables      decisions and singers as tables; decisions applied to a manifest
    live        asking all sources for a small catalogue
"""
