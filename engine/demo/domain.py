"""What callers of the appointment desk are likely to say; the embedded recogniser's language model is built from it.

The format is described in `engine/adapters/domain.py`. Weights are guesses at how often callers say a thing.
"""

DOMAIN = """
# Numbers

<digit> = /3/ zero | /2/ oh | /3/ one | /3/ two | /3/ three | /3/ four | /3/ five | /3/ six | /3/ seven | /3/ eight | /3/ nine
<digits> = <digit> | <digit> <digit> | <digit> <digit> <digit> | /3/ <digit> <digit> <digit> <digit>
<pair> = <tens> [<unit>] | <teen> | double <digit> | <digit> hundred
<unit> = one | two | three | four | five | six | seven | eight | nine
<teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen
<tens> = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety
<number> = <unit> | <teen> | <tens> [<unit>] | <unit> hundred [[and] <tens> [<unit>]] | a hundred
<year> = nineteen <tens> [<unit>] | twenty <unit> | twenty <teen> | twenty twenty [<unit>] | two thousand [and] [<unit>]
<phone> = <digits> <digits> | <digits> <digits> <digits> | /2/ <digit> <digit> <digit> <digits> <digit> <digit> <digit> <digit> | <pair> <pair> <digits>

# How words are said that the dictionary knows in one way only: "oh clock"; "a.m." with the throat closed between its letters.
!o'clock AH K L AA K
!o'clock OW K L AA K
!a.m. EY EH M
!a.m. EY T EH M

# Days

<weekday> = monday | tuesday | wednesday | thursday | friday | saturday | sunday
<weekdays> = mondays | tuesdays | wednesdays | thursdays | fridays | saturdays | sundays
<month> = january | february | march | april | may | june | july | august | september | october | november | december
<low> = first | second | third | fourth | fifth | sixth | seventh | eighth | ninth
<ordinal> = /9/ <low> | /11/ <middle> | /9/ twenty <low> | /2/ thirtieth | thirty first
<middle> = tenth | eleventh | twelfth | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth | eighteenth | nineteenth | twentieth
<date> = /5/ <month> <ordinal> | /2/ <month> the <ordinal> | the <ordinal> of <month> | /2/ the <ordinal> | <month> <daynumber>
<daynumber> = <unit> | <teen> | twenty [<unit>] | thirty [one]
<near> = /4/ today | /6/ tomorrow | the day after tomorrow | tonight | /2/ next week | this week | the week after [next] | next month
<day> = /6/ <weekday> | /2/ next <weekday> | /2/ this [coming] <weekday> | <weekday> next week | /5/ <near> | /4/ <date> | /2/ <weekday> [the] <ordinal> | /2/ <weekday> <date> | a week from <weekday>
<part> = /3/ in the morning | /3/ in the afternoon | /2/ in the evening | at night | at noon | around noon | /2/ morning | /2/ afternoon | early in the morning | late in the afternoon | after lunch | before lunch | after work

# Times

<hour> = one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve
<minutes> = /3/ fifteen | /5/ thirty | /3/ forty five | /2/ ten | /3/ twenty | /2/ forty | /2/ fifty | oh five | twenty five | thirty five | fifty five | five
<ampm> = a.m. | p.m.
<clock> = /4/ <hour> | /4/ <hour> o'clock | /5/ <hour> <minutes> | half past <hour> | quarter past <hour> | quarter to <hour> | a quarter to <hour> | ten past <hour> | ten to <hour> | twenty past <hour> | twenty to <hour>
<time> = /6/ <clock> | /4/ <clock> <ampm> | <clock> in the morning | <clock> in the afternoon | <clock> in the evening | noon | midday | midnight
<when> = /5/ <day> at <time> | /2/ <day> <time> | /2/ <time> on <day> | <day> <part> | <day> at about <time> | <day> around <time> | <time> <day> | <day> after <time> | <day> before <time> | <day> between <clock> and <clock>
<anywhen> = /4/ <when> | /3/ <day> | /3/ <time> | at <time> | on <day>

# People and places

<firstname> = james | john | robert | michael | david | william | richard | joseph | thomas | charles | mary | patricia | jennifer | linda | elizabeth | barbara | susan | jessica | sarah | karen | anna | anne | lisa | nancy | emily | laura | peter | paul | mark | george | daniel | matthew | andrew | steven | kevin | brian | edward | maria | martin | alex | sam | sandra | helen | simon | julia | kate | chris | alice | oliver | emma | jack | lucy | adam | eric | frank | jane | ben
<lastname> = smith | johnson | williams | brown | jones | garcia | miller | davis | wilson | anderson | taylor | moore | jackson | martin | lee | thompson | white | harris | clark | lewis | robinson | walker | young | allen | king | wright | scott | green | baker | adams | nelson | hill | campbell | mitchell | roberts | carter | phillips | evans | turner | parker | collins | edwards | stewart | morris | murphy | cook | rogers | cooper | peterson | reed | bailey | kelly | howard | ward | watson | brooks | bennett | gray | hughes | price | long | foster
<name> = /3/ <firstname> <lastname> | <firstname> | <title> <lastname>
<title> = mister | missus | miss | doctor
<doctor> = doctor <lastname> | the doctor | the dentist | the nurse | the hygienist | someone | anyone
<letter> = a | b | c | d | e | f | g | h | i | j | k | l | m | n | o | p | q | r | s | t | u | v | w | x | y | z
<spelling> = <letter> <letter> <letter> <letter> | <letter> <letter> <letter> <letter> <letter> | <letter> <letter> <letter> <letter> <letter> <letter>

# Things

<thing> = /8/ an appointment | a slot | a checkup | a cleaning | a consultation | a haircut | a visit | a meeting | a time | a follow up | an exam | a treatment
<mine> = /8/ my appointment | the appointment | it | my booking | that appointment | my visit
<want> = /4/ i'd like to | /3/ i want to | /2/ i would like to | i need to | can i | could i | may i | /2/ can you | could you | please | i was hoping to | i'm calling to | is it possible to | let's | let me | i wanted to | i have to
<make> = /3/ make | /5/ book | /2/ schedule | get | have | arrange | set up | reserve
<polite> = [please] | /0.1/ thank you | /0.1/ thanks | /0.1/ if possible | /0.1/ if that's okay
<so> = /5/ [yes] | /1/ hi | /1/ hello | /0.5/ good morning | /0.5/ good afternoon | /0.5/ um | /0.5/ uh | /0.5/ okay | /0.5/ well | /0.5/ hey | /0.3/ yeah | /0.3/ so | /0.3/ actually

# Booking

/30/ [<so>] <want> <make> <thing> [for <firstname>] [on] [<anywhen>] <polite>
/30/ [<so>] <want> <make> <thing> (for | on) <anywhen> <polite>
/10/ [<so>] <want> come in [on] [<anywhen>] <polite>
/8/ [<so>] i need <thing> [on | for] [<anywhen>] <polite>
/8/ [<so>] i'd like <thing> [on | for] [<anywhen>] <polite>
/5/ [<so>] <want> see <doctor> [on] [<anywhen>] <polite>
/6/ <make> <thing> [for] <anywhen>
/5/ (do you have | have you got | is there | are there) (anything | any time | any slots | an opening | any openings | something | anything free | any appointments) [on] [<anywhen>]
/4/ what (times | slots | appointments | days) (do you have | are free | are available | are there) [on] [<anywhen>]
/4/ what do you have [on] [<anywhen>]
/3/ when (are you free | is the next appointment | are you open | do you open | do you close | can i come in | is the doctor in)
/3/ are you (open | free | available) [on] <anywhen>
/2/ what's the (earliest | soonest | next | first | latest) (you have | available | appointment | slot | time)
/2/ as soon as possible [please]
/2/ is <anywhen> (free | available | okay | possible | still free | still available)
/3/ (does | would) <anywhen> work
/2/ how about (another day | another time | something later | something earlier | the next day)
/6/ (how about | what about | maybe | perhaps | make it | let's say | let's do | i'd prefer | can we do) <anywhen>

# Answers with days and times

/40/ <anywhen>
/30/ [on] <when> <polite>
/25/ <day>
/25/ [at] <time> <polite>
/15/ <date>
/12/ <date> at <time>
/8/ <time> <part>
/8/ [in the] (morning | afternoon | evening) [please]
/6/ <anywhen> (would be | is | works | sounds) (fine | good | great | okay | perfect | best | better) [for me]
/5/ (any time | sometime) [on] [<anywhen>]
/4/ (i can | i could | i can't) (do | make) <anywhen>
/4/ (not | no not) <anywhen>
/4/ (no | actually | sorry) <anywhen>
/4/ i (said | meant | mean) <anywhen>
/3/ the (first | second | third | last | earlier | later | other) one [please]
/2/ (either one | either | any of them | whatever you have | i don't care | it doesn't matter | whichever)
/3/ after <time>
/3/ before <time>
/2/ later | earlier | later than that | a bit later | a little earlier | something later | something earlier | another time | another day
/2/ from <clock> to <clock>
/2/ until <time>

# Cancelling, moving, looking up

/15/ [<so>] <want> cancel <mine> [on | for] [<anywhen>] <polite>
/4/ cancel <mine> [on | for] [<anywhen>]
/12/ [<so>] <want> (move | change | reschedule) <mine> [on | for | from] [<anywhen>] [to <anywhen>] <polite>
/4/ (move | change) (it | that) to <anywhen> <polite>
/3/ [<so>] <want> (move | push | put) it (back | forward | to another day | to a different time | to later)
/10/ [<so>] <want> (check | confirm | look up) <mine> [on | for] [<anywhen>] <polite>
/6/ when is my [next] appointment
/4/ what time is my appointment [on] [<day>]
/4/ do i have (an appointment | any appointments | anything) [on] [<anywhen>]
/3/ what appointments do i have
/2/ i can't (make it | come) [on] [<anywhen>]
/2/ i have an appointment [on] <anywhen>
/2/ i have an appointment [on] <anywhen> and i (want | need | would like) to (cancel | change | move) it
/2/ which one | both | all of them | the one on <day> | the <weekday> one | the one at <time> | that one | this one

# Who is calling

/10/ [my name is | this is | it's | i'm | the name is] <name>
/4/ <name>
/3/ (it's for | for) (<name> | my wife | my husband | my son | my daughter | my mother | my father | me | myself)
/3/ [that's] <spelling>
/2/ it's spelled <spelling>
/14/ [my number is | my phone number is | it's | the number is] <phone>
/12/ <phone>
/10/ <digits>
/6/ <pair> <pair>
/6/ <digit>
/4/ [my (date of birth | birthday) is | i was born] [on] <month> <ordinal> [<year>]
/2/ <number> <number> [<year>]
/3/ <number>
/2/ (extension | number | option) <digits>

# Yes, no and other short answers

/20/ yes | yes please | yeah | yep | yup | sure | okay | ok | right | that's right | correct | that's correct | exactly | of course | absolutely | definitely
/14/ no | no thanks | no thank you | nope | not really | no that's all | that's all | that's it | that's wrong | that's not right | nothing else | i don't think so
/8/ yes that's (right | fine | good | correct | perfect | it | okay | great) | yes it is | yes i do | yes that works | yeah that works | yes that would be (great | fine | good) | yes go ahead
/8/ that's (fine | good | okay | perfect | great) | that works [for me] | sounds good | perfect | great | wonderful | excellent | fine | good | all right | alright | that would be great | that'll do | i'll take it | i'll take that | book it | do it | please do
/4/ no (it's | that's) (wrong | not right | not what i said | too late | too early) | no i (don't | can't | didn't) | no not that one | no i said <anywhen> | no i meant <anywhen>
/6/ i don't know | i'm not sure | i'm sorry | sorry | maybe | let me think | let me check | let me see | one moment [please] | just a moment [please] | just a second | just a minute | hang on | hold on [please] | one second
/4/ what | pardon | pardon me | excuse me | what did you say | say that again [please] | can you repeat that [please] | could you repeat that | please repeat | repeat that | again | i didn't (hear | catch | get) that | come again | i don't understand | please try again
/2/ never mind | forget it | none of them | neither

# Stopping and listening

/8/ stop | wait | wait a minute | wait a second | no wait | no stop | cancel | cancel that | shut up | be quiet | pause | enough | hold on | hang on | excuse me | start over | go back | never mind
/8/ uh huh | mm hmm | mhm | mm | hmm | hm | um | uh | ah | oh | okay | yeah | yep | right | sure | i see | got it | all right | good | cool | wow | really | of course | go on | oh okay | oh i see

# Politeness and small talk

/10/ hello | hi | hey | hello there | good morning | good afternoon | good evening | hi there | is anybody there | are you there | can you hear me
/8/ thanks | thank you | thank you very much | thanks a lot | thank you so much | thanks very much | many thanks | great thank you | okay thank you | thank you goodbye | thanks bye
/8/ bye | goodbye | bye bye | good bye | see you | see you then | see you <day> | have a nice day | have a good day | talk to you later | that's all thank you | okay bye
/3/ how are you | i'm fine | i'm good thanks | fine thanks | nice to meet you | you're welcome | no problem | no worries
/3/ are you (a robot | a person | a machine | human | real) | who are you | who is this | what's your name | am i talking to a (machine | computer | person | robot)
/3/ (can i | could i | i'd like to | i want to) (talk | speak) to (a person | a human | someone | an operator | somebody | the doctor | a real person | <name>) [please]
/2/ what can you do | what can i say | help | help me | i need help | how does this work | what are my options
/2/ how (much | long) (is it | does it cost | does it take | will it take) | where are you | what's the address | what's your address | what's your phone number | what time is it | what day is it | what's the date today
"""
