"""Swear words: a short list of ours in five languages, and what a tenant adds to it.

The list has the coarse words that most readers object to, in their common forms, and no others: mild oaths, words that
have an ordinary meaning too, names of groups and most inflections are not in it. It knows no spelling in disguise and no
context. Found as `terms` finds words.
"""

from collections.abc import Iterable

from .terms import TermScreen

CATEGORY = "PROFANE_WORD"
WORDS: dict[str, str] = {
    "en": """
        fuck fucks fucked fucker fuckers fucking fuckin motherfucker motherfuckers motherfucking fuckface fuckwit clusterfuck
        shit shits shitty shite shithead shitheads bullshit horseshit dipshit shithole asshole assholes arsehole arseholes
        dumbass jackass bitch bitches bitching cunt cunts twat twats wanker wankers wank bastard bastards bollocks
        cocksucker cocksuckers dickhead dickheads douchebag douchebags slut sluts whore whores
        goddamn goddamned
    """,
    "de": """
        scheiße scheisse scheiß scheiss beschissen beschissene beschissener arschloch arschlöcher arschlocher arschgeige fotze
        fotzen wichser wichsern fick ficken fickt gefickt verfickt verfickte hurensohn hurensöhne hure huren schlampe
        schlampen miststück drecksau drecksack schwanzlutscher
    """,
    "fr": """
        merde merdes merdique putain putains pute putes connard connards connarde connasse connasses enculé enculés enculer
        enculée salope salopes salaud salauds nique niquer bâtard
        foutre branleur branleurs couille couilles
    """,
    "es": """
        mierda mierdas puta putas puto putos hijoputa gilipollas cabrón cabrones joder jodido
        jodida coño coños pendejo pendejos pendeja chingar chingada culero
    """,
    "it": """
        cazzo cazzi cazzata stronzo stronzi stronza stronzata merda merde puttana puttane vaffanculo
        fanculo coglione coglioni minchia bastardo bastardi incazzato
    """,
}  # fmt: skip
PHRASES = {
    "en": ["piss off", "pissed off"],
    "de": ["verpiss dich", "leck mich am arsch", "verdammte scheiße"],
    "fr": ["bordel de merde", "fils de pute", "ta gueule", "nique ta mère", "trou du cul"],
    "es": ["hijo de puta", "hijos de puta", "chinga tu madre", "me cago en"],
    "it": ["figlio di puttana", "testa di cazzo", "porca puttana"],
}
LANGUAGES = tuple(sorted(WORDS))


def words_of(languages: Iterable[str]) -> set[str]:
    """The built-in terms of some languages."""
    return {term for language in languages for term in (*WORDS[language].split(), *PHRASES[language])}


def profanity_screen(languages: Iterable[str], additions: Iterable[str]) -> TermScreen:
    """The screen for some languages and a tenant's own words."""
    return TermScreen(words_of(languages) | set(additions), CATEGORY)
