"""Words that carry no topic, by language: articles, pronouns, prepositions, auxiliaries and question words. Compared
before stemming.

English: Lucene's 33, with the question words and auxiliaries that questions are made of. A longer list (also, between,
most, first, same …) cost hotpotqa_200 .013 nDCG@10 and gained cranfield .001; none at all cost both about .01. The
other lists are as short for the same reason: a word that may be a topic is not in them.
"""

LUCENE = (
    "a an and are as at be but by for if in into is it no not of on or such "
    "that the their then there these they this to was will with"
)
QUESTIONS = "what which who how when where why from has have had been were he she his her its also does did do s t"

ENGLISH = frozenset(f"{LUCENE} {QUESTIONS}".split())

_OTHERS = {
    "ara": "في من على إلى الى عن مع و أو او ثم لا لم لن ما هو هي هم هذا هذه ذلك تلك التي الذي الذين أن ان إن كان "
    "كانت قد كل بين بعد قبل عند منذ حتى كما أي اي ماذا متى أين اين كيف كم لماذا هل وهو وهي وفي ومن به بها "
    "له لها فيه فيها منه منها عليه عليها يكون تكون",
    "dan": "af alle at blev bliver da de dem den denne der deres det dette dig din disse du efter eller en end "
    "er et for fra han hans har havde hende hendes her hun hvad hvem hvilken hvilke hvilket hvis hvor "
    "hvordan hvorfor hvornår i ikke ind jeg kan med mod når og også om op over på sig sin sit skal som "
    "til ud under var ved vi vil være været",
    "deu": "aber als am an auch auf aus bei bin bis bist da dann das dass dem den der des die diese diesem "
    "diesen dieser dieses doch durch ein eine einem einen einer eines er es für gegen hat hatte hatten "
    "haben ich ihm ihn ihr ihre ihrem ihren ihrer im in ins ist kann können man mit nach nicht noch nur "
    "ob oder sein seine seinem seinen seiner sich sie sind so über um und unter vom von vor wann war "
    "waren warum was welche welchem welchen welcher welches wem wen wenn wer werden wessen wie wieso wir "
    "wird wo wofür woher wohin wurde wurden zu zum zur zwischen",
    "ell": "ο η το οι τα του της των τον την τους τις στο στον στη στην στους στις στα και κι να θα με σε από "
    "για που πως πώς τι ποιος ποια ποιο ποιοι ποιες ποιον πότε πού γιατί πόσο δεν μη μην είναι ήταν έχει "
    "έχουν ένα ένας μια μία ως ή αν όταν αλλά αυτό αυτός αυτή αυτά αυτοί κατά μετά όπως",
    "fin": "ei eivät en et että hän he ja jos jota joka jotka jossa kanssa kuin kuka kun koska ketkä me mikä "
    "mitä mitkä missä mistä mihin miksi miten milloin mutta myös ne niin niiden nämä ole olen oli olivat "
    "on ovat se sekä sen siinä sitä tai tämä tämän te vai voi oliko onko",
    "fra": "à au aux avec c ce ces cet cette comme comment d dans de des dont du elle elles en entre est et été "
    "étaient était être eu il ils j je l la le les leur leurs lui m mais même n ne nous on ont ou où par "
    "pas pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa se ses si son sont sous sur t "
    "un une vous y a avait avaient",
    "hun": "a az azt egy és ez ezt hogy hogyan ha is nem de vagy van volt voltak vannak lesz mi mit ki kik kit "
    "mely melyik mikor miért hol hova honnan mennyi hány milyen aki ami amely amit akik meg csak mint már "
    "még ezek azok ő ők el be volna",
    "ita": "a ad ai al alla alle allo agli anche c che chi ci come con cosa cui d da dai dal dalla dalle dallo "
    "dagli degli dei del della delle dello di dove e è ed era erano gli ha hanno i il in io l la le lo "
    "loro ma ne nei nel nella nelle nello negli non o per perché più quale quali quando quanto quella "
    "quello questa questo queste questi s se si sono stata stato su sua sue sui sugli sul sulla sulle "
    "sullo suo suoi tra fra un una uno",
    "nld": "aan al als bij dan dat de der deze die dit door een en er had hadden heb hebben heeft hem het hij "
    "hoe hoeveel hun ik in is je kan kon maar me met mijn na naar niet nog of om onder ons ook op over te "
    "tot uit van voor waar waarom wanneer waren was wat we welk welke werd werden wie wordt worden ze "
    "zich zij zijn zo zou",
    "nob": "alle at av ble blir da de dem den denne der deres det dette disse du eller en er et etter for fra ha "
    "hadde han hans har henne hennes hun hva hvem hvilken hvilke hvilket hvis hvor hvordan hvorfor i ikke "
    "jeg kan med mot når og også om opp over på seg sin sitt skal som til under ut var ved vi vil være "
    "vært",
    "por": "a à ao aos as às com como d da das de dela dele deles do dos e é ela elas ele eles em entre era eram "
    "essa esse esta está este eu foi foram há isso isto já lhe mais mas na nas não nem no nos o onde os "
    "ou para pela pelas pelo pelos por porque qual quais quando quanto que quem são se sem ser seu seus "
    "sua suas também tem um uma",
    "ron": "a al ale ai am are au ca care câte cât când ce cel cea cei cele cine cu cum de deci din dintre după "
    "e ea ei el ele era erau este eu fi fost în într între i la le lui mai ne nu o or pe pentru prin sa "
    "sau să se sunt și un unde unei unui unor",
    "rus": "а без был была были было быть в во вы где да для до его ее её если есть же за и из или им их к как "
    "какая какие какой какое когда кого который которая которое которые кто ли мы на не него нее ней нет "
    "но о об он она они оно от по почему при с свой со так то того тоже только том у чего чем что чтобы "
    "эта эти это этого этой этот я сколько",
    "spa": "a al ante como cómo con cual cuál cuales cuáles cuando cuándo cuanto cuánto cuántos cuántas de del "
    "desde donde dónde e el él ella ellas ellos en entre era eran es esa ese eso esta está este esto "
    "estos estas fue fueron ha han hay la las le les lo los más me mi muy ni no nos o para pero por "
    "porque que qué quien quién quienes se ser si sin sobre son su sus también un una unas uno unos y ya",
    "swe": "att av blev blir da de dem den denna deras dess det detta dig din du där efter ej eller en ett för "
    "från ha hade han hans har hennes henne hon hur här i icke inte jag kan man med men mot när och också "
    "om på sig sin sitt ska skall som till under upp ut vad var varför vem vi vid vilka vilken vilket "
    "vara varit är över",
    "tur": "ama ancak bir biri birçok bu bunun bunu çok da daha de değil diye en gibi göre hangi hem her için "
    "ile ise kadar ki kim kimin kaç mi mı mu mü nasıl ne neden nerede nereye o olan olarak oldu olduğu on "
    "onun onu sonra şu ve veya ya",
}

STOPWORDS = {"eng": ENGLISH, **{code: frozenset(listed.casefold().split()) for code, listed in _OTHERS.items()}}
"""Stop words, case-folded, by ISO 639-3 code."""
