"""
The marketplace's own words, in two languages.  Everything about orders, what can be done,
why not, and what happened, the library says itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = {"en": "English", "fr": "Français"}

# fmt: off
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "name":            ("The Workbench", "L’Établi"),
    "tagline":         ("Services by people who finish what they start",
                        "Des services par des gens qui finissent ce qu’ils commencent"),
    "pretend":         ("An example: sign-in, payments and mails only pretend.",
                        "Un exemple\xa0: connexion, paiements et courriels sont fictifs."),
    "skip":            ("Skip to the content", "Aller au contenu"),
    "main_menu":       ("Main", "Principal"),
    "language":        ("Language", "Langue"),

    "services":        ("Services", "Services"),
    "orders":          ("Orders", "Commandes"),
    "letters":         ("Mails", "Courriels"),
    "desk":            ("Dispute desk", "Litiges"),
    "staff":           ("Back office", "Administration"),

    "sign_in":         ("Sign in", "Se connecter"),
    "sign_in_as":      ("Who would you like to be?", "Qui voulez-vous être\xa0?"),
    "sign_in_hint":    ("No password: this is an example.  Sign in as both sides of an order, "
                        "in two browsers or one after the other.",
                        "Pas de mot de passe\xa0: c’est un exemple.  Connectez-vous tour à tour "
                        "des deux côtés d’une commande."),
    "sign_in_to_buy":  ("Sign in as a buyer to order this.",
                        "Connectez-vous comme acheteur pour commander."),
    "sign_out":        ("Sign out", "Se déconnecter"),
    "signed_in":       ("Signed in as", "Connecté\xa0:"),

    "colon":           (":", "\xa0:"),
    "by":              ("by", "par"),
    "in_days":         ("Delivered in %s days", "Livré en %s jours"),
    "revisions":       ("%s revisions included", "%s retouches incluses"),
    "options":         ("Options, also while the order runs",
                        "Options, aussi en cours de commande"),
    "option":          ("Option", "Option"),
    "your_brief":      ("Your brief", "Votre cahier des charges"),
    "brief_hint":      ("What the seller needs to know to begin.",
                        "Ce que le vendeur doit savoir pour commencer."),
    "price":           ("Price", "Prix"),
    "fees":            ("Service fee", "Frais de service"),
    "total":           ("To pay", "À payer"),
    "pay":             ("Pay %s", "Payer %s"),
    "pay_hint":        ("The money is held until you have what you ordered.",
                        "L’argent est bloqué jusqu’à ce que vous ayez ce que vous avez commandé."),

    "your_orders":     ("Your orders", "Vos commandes"),
    "no_orders":       ("No orders yet.", "Pas encore de commande."),
    "order":           ("Order", "Commande"),
    "money":           ("The money", "L’argent"),
    "what_now":        ("What you can do", "Ce que vous pouvez faire"),
    "nothing_now":     ("Nothing, for now.", "Rien pour l’instant."),
    "also_now":        ("Also possible", "Également possible"),
    "not_now":         ("Not now, and why (%s)", "Pas maintenant, et pourquoi (%s)"),
    "closed_to_you":   ("Not possible yet", "Pas encore possible"),
    "instead":         ("Instead:", "À la place\xa0:"),
    "needs_first":     ("First:", "D’abord\xa0:"),
    "from_when":       ("Possible from", "Possible à partir du"),
    "leads_to":        ("Leads to", "Mène à"),
    "what_next":       ("If nobody acts", "Si personne n’agit"),
    "at_rest":         ("Nothing happens by itself any more.",
                        "Plus rien ne se passe de soi-même."),
    "jump_there":      ("Jump there", "S’y rendre"),
    "messages":        ("Messages", "Messages"),
    "no_messages":     ("Nobody has written yet.", "Personne n’a encore écrit."),
    "message":         ("Message", "Message"),
    "erased":          ("(no longer kept)", "(n’est plus conservé)"),
    "brief":           ("The brief", "Le cahier des charges"),
    "choose":          ("Choose", "Choisir"),
    "optional":        ("optional", "facultatif"),
    "one_of":          ("at least one of these", "au moins l’un des deux"),
    "between":         ("from %s to %s", "de %s à %s"),
    "in_day_count":    ("in days", "en jours"),
    "one_a_line":      ("one name a line", "un nom par ligne"),

    "refused":         ("That was not possible.", "Ce n’était pas possible."),
    "malformed":       ("Please look again at “%s”.", "Veuillez vérifier «\xa0%s\xa0»."),
    "changed":         ("The order has changed since you looked at it.  Look again, and send it "
                        "once more if you still want to.",
                        "La commande a changé depuis que vous l’avez vue.  Regardez à nouveau, "
                        "et renvoyez si vous le voulez toujours."),

    "waiting_desk":    ("Looking for a mediator", "En attente d’un médiateur"),
    "your_cases":      ("Your cases", "Vos dossiers"),
    "no_cases":        ("None.", "Aucun."),
    "open_file":       ("Open the file", "Ouvrir le dossier"),
    "back_to_order":   ("Back to the order", "Retour à la commande"),

    "all_orders":      ("All orders", "Toutes les commandes"),
    "stuck":           ("What a human must look at", "À examiner par un humain"),
    "not_stuck":       ("Nothing is stuck.", "Rien n’est bloqué."),
    "verified":        ("%s orders prove themselves: every hash, every sum.",
                        "%s commandes se prouvent elles-mêmes\xa0: chaque empreinte, chaque somme."),
    "unverified":      ("Damaged: %s", "Endommagé\xa0: %s"),
    "proof":           ("Proof", "Preuve"),
    "transfers":       ("Money that was moved", "Argent transféré"),
    "refund":          ("Refund", "Remboursement"),
    "pay_out":         ("Payout", "Versement"),

    "figures":         ("Figures of the last six months", "Chiffres des six derniers mois"),
    "not_judged":      ("Shown from %s completed orders on.",
                        "Affiché à partir de %s commandes terminées."),
    "completed":       ("Orders completed", "Commandes terminées"),
    "cancelled_here":  ("Cancelled by the seller’s doing", "Annulées du fait du vendeur"),
    "none_cancelled":  ("None.", "Aucune."),
    "reviews":         ("Reviews", "Avis"),
    "no_reviews":      ("No reviews yet.", "Pas encore d’avis."),
    "stars":           ("%s of 5", "%s sur 5"),
    "grade":           ("%s of 6", "%s sur 6"),
    "reply":           ("The seller’s reply", "Réponse du vendeur"),
    "sells":           ("Services", "Services"),

    "no_letters":      ("No mails yet.", "Pas encore de courriel."),
    "to_order":        ("See the order", "Voir la commande"),

    "time_machine":    ("Time machine", "Machine à remonter l’avenir"),
    "it_is":           ("It is", "Nous sommes le"),
    "hour_later":      ("+1 hour", "+1 heure"),
    "day_later":       ("+1 day", "+1 jour"),
    "next_deadline":   ("Next deadline", "Prochaine échéance"),

    "not_found":       ("There is nothing here, at least not for you.",
                        "Il n’y a rien ici, du moins pas pour vous."),
    "forged":          ("This form is too old.  Go back, reload the page and send it again.",
                        "Ce formulaire est trop ancien.  Revenez, rechargez la page et renvoyez."),
    "not_yours":       ("Only mediators and staff read this.",
                        "Réservé aux médiateurs et à l’administration."),
    "home":            ("Back to the services", "Retour aux services"),
}
# fmt: on


def word(name: str, language: str, *parts: object) -> str:
    """
    Return what the marketplace says, with its parts put in.
    """
    english, french = _WORDS[name]
    text = french if language == "fr" else english
    return text % parts if parts else text
