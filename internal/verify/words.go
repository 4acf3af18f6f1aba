package verify

import "strings"

// meaning is what the words of a reply say, as bits: a text may say several
// things.
type meaning uint32

const (
	aboutUs           meaning = 1 << iota // our address, host or network
	aboutUsPerhaps                        // words that are used for us, and for mailboxes too
	tooFast                               // we ask too much or too fast
	limitPerhaps                          // a limit, ours or the mailbox's
	tooManyRecipients                     // the transaction has its fill (RFC 5321 §4.5.3.1.10)
	aboutSender                           // our sender, or another one
	aboutDomain                           // the host does not take this domain's mail
	noRelay                               // … or not from strangers
	byPolicy                              // a rule of the host, or trouble of its own
	restricted                            // the mailbox or group takes mail from certain senders only
	fullMailbox                           // RFC 3463 §3.3 X.2.2
	closedMailbox                         // RFC 3463 §3.3 X.2.1
	noSuchMailbox                         // RFC 3463 §3.2 X.1.1
	noMailboxPerhaps                      // RFC 5321 §4.2.3's own words for 550, which are used for much else
	forNow                                // what is said holds for a time only
	greylisting
	wantsTLS
	hostFull        // … the host's own disk is
	namesMailbox    // the words "mailbox", "user" and the like stand there
	refusesUs       // the owner of the mailbox wants no mail from us
	receivesTooMuch // the mailbox gets more than it may, just now
	noMailHere      // the host takes no mail at all (RFC 7504)
	errorLimit      // too many unknown users in a session
	thisSession     // a limit of the session and of nothing else
	aboutOthers     // many mailboxes, none of them the one asked for
	aboutMessage    // a message, which we have not sent
	hostTrouble     // trouble of the host's own
	wordless        // nothing
	named           // a mailbox stands there and no other thing, or nothing does
)

// A phrase is words in lower case without accents, with a comma after it. a|b is
// either word, a* a word that begins so, ~ stands for up to four small words, ..
// for up to six words of any kind that are not about another thing (see
// turningWords); {…} are the classes below. Scripts without spaces are compared
// by pieces, with & between them. !a is any word but a, or the end.
var lexiconLists = map[meaning]string{
	aboutUs: `
		spamhaus, barracudacentral, spamcop, sorbs, uceprotect, spamrats, dnsbl*, rbl*, blocklist*, blacklist*, block|black list*, denylist*,
		your ip*, your host*, your server*, your network, your mail server, your domain, your account, your email account,
		your isp, your provider, your organization,
		sending|sender|client|connecting|this|from|remote|source ip*, ip addr*|adr*|direccion|indirizzo|endereco|адрес*|alamat, adr*|direccion|indirizzo|endereco|адрес*|chi|alamat ip, ip地址, ip位址, ipアドレス, ip주소, ip blocked|banned|rejected|is, client host*|addr*|user|name|is|not, connecting|peer client|host|hosts|server|user|addr*|mta|system, remote client|user|addr*, sending user|account|addr*|host|server|system|mta|mailbox, envelope addr*,
		in auth|url|header|headers|helo|ehlo|dns|whois, auth user|account|failed, authenticated user|account, logged in, login failed|failure|denied|incorrect,
		password*, kennwort, passwort, mot de passe, contrasena, senha, haslo, парол*, 密码, wachtwoord, anmeldung*, user agent*, find|locate|know|resolve|verify|recognize ~ your address|host|account|mailbox, client rejected,
		host|hosts rejected|blocked, connections from, connection blocked, banned, reputation*, spam*, unsolicited, malicious*,
		dynamic ip*, residential, ptr, rdns, reverse dns|lookup|hostname, hostname*, helo, ehlo, fcrdns, geoip*, firewall*, untrusted,
		not whitelisted, whitelist*, allowlist*, dictionary|directory attack*, harvest*,
		mail|mails|email|emails|message|messages from you|your|this|that|unknown|dynamic|unauthenticated|hosts|servers|ip*, lookup cgi,
		ip {any}, {any} ip, from|in|of header, your own, hosts that, ip refused|rejected|denied|listed|blocked, blocked until, honeypot*, you are ~ unknown|known|not|listed, you're ~ unknown|known|not, probing, authentication required for, for a|an|one|ten|24 hour|hours|day|days|minutes`,
	aboutUsPerhaps: `
		listed at|by|in|on, is listed, was found in, blocked, connection refused|rejected, from your, abuse*, abusive, suspicious*,
		your message*, your email, your address, bl21, csi cloudmark`,
	tooFast: `
		too many {box} .. unknown|invalid, too many connections|sessions|errors|invalid|unknown|bad|wrong|concurrent|commands|attempts|requests|failed|failures|spams|mails|emails|hops|unwanted|simultaneous|non|nonexistent|consecutive|protocol,
		too fast, too quickly, too frequent*, frequency, rate limit*, ratelimit*, rate exceed*, unusual rate, rate control*, throttl*, slow down,
		limit for this session, maximum|max ~ number, sending limit*|quota|rate, message|messages|rate|hourly|daily|connection quota,
		message|connection|session|hourly|daily|recipient|rcpt|rate|mail|request limit*, message quota*, your .. quota, hourly, per hour|minute|second|day, concurrent*,
		error limit, server busy, excessive*, consecutive, flood*, exceed* ~ sending|rate|hourly|daily|message|messages|connection|connections|recipient|recipients|allowable|allowed ~ number,
		anzahl .. uberschritten, trop de|d, demasiad*, muitas, muitos|demais, troppi|troppe, слишком много, забагато, zu viel|viele unbekannt*|ungultig*|ungueltig*|anfragen|anfrage|verbindungen|empfanger|empfaenger|fehler|fehlversuche|versuche|falsch*|adr*,
		te veel, zbyt wiele|duzo, za duzo, prilis mnoho|mnogo, previse|prevec, for manga|mange, liian monta|paljon, tul sok, prea multe|multi, cok fazla, liiga palju, per daug, parak daudz, quá nhiều, terlalu banyak, 多すぎ, 너무많,
		{limit} .. {unknowns}, {unknowns} .. {limit}, {limit} .. {unknown} ~ {boxes}, {unknown} ~ {boxes} .. {limit}, {unknown} ~ recipient|user|mailbox {limit}, earlier|previous|prior|preceding|past .. recipient|recipients|users|addresses|failures|errors|error|rejections|attempts|failure,
		pro|je stunde|tag|minute, par heure|jour|minute, por|al hora|dia|minuto|giorno|mes, all ora, per uur|dag|minuut, na godzine|dobe|minute|dzien, za hodinu|den|minutu, за час|день|сутки|минуту|добу|годину, saatlik, gunluk, 每小时, 每小時, 每天, 每日, 每分钟, 毎時, 時間あたり, 시간당, 일일,
		per client|ip|host|sender|connection|network, lookup|lookups|query|queries|api|connections|sessions|bandwidth|traffic|relay|outbound|outgoing|submission|verification ~ quota|limit|limits,
		quota|limit|limits of|for|on ~ connections|sessions|messages|lookups|queries|requests|verifications, guessing, enumerat*,
		you asked|queried|probed|guessed|checked, two|three|four|five|six|seven|eight|nine|ten|2|3|4|5|6|7|8|9|10|15|20|25|50|100|several|many ~ {boxes}, no more ~ {boxes}, max|maximum ~ {boxes}, server|domain|tenant quota, you are ~ over|above|beyond, you ~ exceed*, in the last|past ~ hour|hours|minute|minutes|day|days, after .. errors|failures|attempts|rejections, ihr|ihre|dein|deine kontingent|quota|limit, votre quota|limite, quota|limite|cuota|cota d|de envoi|envio, no more answers|replies|lookups|recipients, many|several|numerous ~ unknown|invalid|bad|wrong|nonexistent|non|failed, 频率, 次数, 过多, 太多, 限制`,
	limitPerhaps: `
		too many, too much, limit|limits ~ exceeded|reached, exceed* ~ limit*, limit|limits|limited, attempts, rate, rates, quota`,
	tooManyRecipients: `
		too many recipient*|rcpt*, recipient*|rcpt limit*, maximum|max ~ number .. recipient*, max|maximum recipient*, one|single ~ recipient*|rcpt*,
		multiple recipients, number of recipients*, multiple destination domains, trop de destinataires`,
	aboutSender: `
		sender*, sending domain, mail from, return path*, return address, from address, originator*, envelope from, spf*, dkim*, dmarc*, backscatter*, batv,
		null reverse path, callback|callout to your, postmaster check|verification|callout|callback, bounce address, bounces ~ not, verification failed for !@, emetteur, expediteur, absender*, remitente, remetente, mittente, отправител*, 发件人&, 寄件人&, 送信者&, 발신자&,
		emisor*, de origen, envoyeur*, remitent*, afzender*, nadawc*, odesilatel*, odosielatel*, felado*, expeditor*, avsandar*, afsender*, avsender*, lahettaj*, gonderen*, gonderici*,
		відправник*, подател*, αποστολε*, pengirim*, nguoi gui, posiljatel*, posiljaoc*, siuntej*, sutitaj*, saatja*, المرسل, השולח,
		发信, 發信, 发件, 發件, 寄件, 寄信, 发送者, 发送方, 發送者, 發送方, 差出, 送信元, 送信アドレス, 送信アカウント, 送信用, 返信先, 退信地址, 발신, 보낸, 보내는, 송신자, 회신, ผู้ส่ง,
		return|reply|bounce|envelope|originating mailbox|address, of origin, submitter*, submission user|account, from user, who|that sends, is sending, user|account may send, account|user|customer of your, source|origin address|mailbox, reply to mailbox|address, ihre|ihrer|deine e mail adr*, ihre|ihrer|deine mail|email adr*, you claim*, your mailbox, your user*, your address ~ is|does|not,
		ihr|ihre|ihrer|ihrem|dein|deine adr*|mailadr*|konto|postfach, votre|ton adresse|compte|boite, su|tu direccion|cuenta|buzon|correo|casilla,
		sua|seu|tua|teu conta|endereco|caixa, vostro|vostra|tuo|tua|suo|sua account|indirizzo|casella, uw|jouw adr*|account|mailbox|postbus, twoj|twoja|twoje adr*|konto|skrzynka,
		your postmaster|abuse|hostmaster|bounce|bounces|support|role|admin ~ {box},
		vas|vase|vasi schranka|ucet|adresa|racun|adresu, din|ditt|dit|er|ert|deres konto|brevlada|adress|adresse|postkasse|postlada|mailbox|account, contul|adresa|casuta dvs|dumneavoastra|ta, akun|alamat|email anda, khoan|chi|thu cua ban,
		ваш|ваша|ваше|твои|вашият|вашия|вашата адрес|аккаунт|ящик|запись|почтовыи|адреса|скринька|акаунт|профил|кутия|пощенска|обліковии, λογαριασμος|διευθυνση σας, حسابك, عنوانك, החשבון|הכתובת|התיבה שלך, 您的账, 您的帐, 您的邮箱, 你的邮箱, 你的帐, 你的账, あなたの, お客様の, 貴社, 御社, 貴方の, 귀하의, 고객님의, 贵方, 贵司, 您方, 貴方`,
	aboutDomain: `
		unknown|invalid domain*|host, unknown|invalid mail|email|recipient|local|target|destination domain*, no such domain|host, domain .. not|never found|exist*|known|hosted|local|valid|configured|reachable|handled|served|accepted|available, domain .. doesn|does t|not exist*,
		domain .. unknown|nonexistent|invalid|rejected|suspended|disabled|expired|inactive, domain is*, domain isn*, domain must exist, recipient domain must,
		host ~ unknown, host .. not found, host or domain name, name or service not known, mail domain .. unknown,
		invalid ~ dns|mx, dns .. record*, resource record*, mail exchanger*, mx host|server|record*, loops back, mail loop, routing loop, not hosted, no mail service*, no route found, {any} .. anbieters|proveedor|fournisseur|provedor|fornecedor|fornitore|dostawcy|poskytovatele|poskytovatela|szolgaltato*|furnizor*|проваидер*|постачальник*|доставчик*|penyedia|leverantor*|udbyder*|leverandor*|palveluntarjoaja*|saglayici*, saglayiciniz*, nha cung cap, 服务商, 提供商, プロバイダ, 공급자, הספק, ten mien nguoi, may chu nguoi, danh sach nguoi,
		database|ldap|directory|server|backend|datenbank|verzeichnis|annuaire|serveur|servidor ~ offline|unreachable|injoignable|inaccessible, database|ldap|directory|server|backend|datenbank|verzeichnis ~ not|nicht reachable|erreichbar,
		does|do|don|doesn not|t accept ~ mail*, cuenta|conta|compte|account de|di servicio|servico|service|servizio, 目录不存在, 目录未找到, 服务不存在, hosting|smtp|gateway|filter|reseller|tenant|billing|smarthost|antispam|archiving|subscription|trial account|accounts|customer, found out, check|lookup failed directory|server|ldap|database, 数据库不存在, 列表不存在, データベースが見つか, データベースが存在, 域名不存在, 服务器不存在, 伺服器不存在, 域不存在, ドメインが存在, ドメインは存在, サーバーが見つか, サーバが見つか, サーバーが存在, サーバが存在, 도메인이존재하지, 도메인을찾을수없, 서버가존재하지, 서버를찾을수없,
		domaine .. inconnu*|inexistant*|existe, dominio .. desconocid*|existe|inesistente|sconosciut*, domane .. unbekannt|existiert, domena .. nie, домен*`,
	noRelay: `
		relay*, rcpthosts, not permitted, not a local domain, not local, authenticat*, authoriz*, unauthoriz*, authoris*, unauthoris*, unauthenticat*,
		auth, login, log in, credentials, not configured, not our*, handle mail for`,
	byPolicy: `
		policy, policies, prohibit*, administrat*, forbidden, denied, deny, not allowed, restrict*, permission*, not accepted from, security,
		accept delivery, refused by, rejected by, moderat*, private, unable to verify, could|can not verify, cannot verify, can t verify,
		verification failed, lookup failed|failure, ldap, database, configuration, syntax, malformed, later, try again*, retry*`,
	hostTrouble: `
		internal|local|server|system|temporary|software|application|processing|program error, timeout, timed out, misconfig*, maintenance, out of service, service ~ unavailable, service not available,
		overload*, busy, database error|down|failure|offline|locked, server|system|service|backend ~ down|closed|offline|unreachable|stopped, unavailable at ~ moment|time|present, not possible at ~ moment|time|present, crashed, shutting down, starting up,
		wartung*, wartungsarbeiten, uberlastet, ueberlastet, gestort, datenbankfehler, surcharge*, en panne, mantenimiento, sobrecarg*, manutencao, sobrecarreg*,
		manutenzione, sovraccaric*, guasto, onderhoud, overbelast, storing, konserwacj*, przeciaz*, awari*, udrzb*, pretizen*, karbantart*, tulterhel*, mentenant*, underhall, overbelastad, vedligehold*, vedlikehold,
		huolto*, bakim*, технические работы, обслуживание, перегруж*, сбой*, технічні роботи, поддръжка, 维护, 維護, 繁忙, 系统错误, 系統錯誤, メンテナンス, 混雑, 障害, システムエラー, 점검, 장애, 시스템오류`,
	aboutMessage: `
		virus*, malware*, phishing, trojan*, attachment*, attached, content|contents, subject, header|headers, body, mime, html, encoding, charset, newsletter*, payload,
		message|mail|email|e is|was|too|size|larger|bigger|exceeds|contains|looks|has|lacks, message|messages size|sizes|limit|id, mail|email size|content|loop, larger than, too large|big|long, maximum ~ message ~ size, message .. larger|bigger|large|contains|looks|virus, size of ~ message|mail|email,
		url|urls|link|links in|within, data command, end of data,
		anhang|anhange|anlage|anlagen, inhalt*, betreff, kopfzeile*, nachricht .. gross|enthalt|grosser, nachrichtengrosse, piece|pieces jointe|jointes, contenu, objet, entete, trop volumineux|volumineuse|gros|grand, message .. taille|volumineux,
		adjunto|adjuntos, contenido, asunto, mensaje .. grande|contiene|tamano, anexo|anexos, conteudo, assunto, mensagem .. grande|contem|tamanho, allegato|allegati, contenuto, oggetto, messaggio .. grande|contiene|dimension*,
		bijlage*, inhoud, onderwerp, bericht .. groot|bevat, zalacznik*, tresc, temat, wiadomosc .. duza|zawiera, priloha|prilohy|prilohu, obsah, zprava .. velka|obsahuje, melleklet*, tartalom, atasament*, continut*,
		bilaga|bilagor, innehall*, vedhaeft*, vedlegg, indhold, innhold, liite|liitetta, sisalto, ekli, icerik*, вложени*, содержим*, содержан*, тема письма, письмо .. содержит|большое, вкладен*, вміст, прикачен*, съдържание, noi dung, lampiran, isi pesan,
		附件, 内容, 內容, 主题, 主旨, 病毒, 邮件过大, 邮件大小, 郵件大小, 信件過大, 添付, 本文, 件名, ウイルス, サイズ, 첨부, 제목, 본문, 바이러스, 내용`,
	restricted: `
		sendernotauthenticated*, notauthorized, authrequired, internal use*, internal only, internal ~ recipients|senders|mail, subscribers, members only, from outside, only .. may|can|allowed .. send|write|post|mail, may|can only .. written|mailed, closed ~ list|group, closed|locked|disabled|blocked ~ external|strangers|outsiders|outside,
		only accept*|accepts ~ mail|messages|email from, only accepting mail from, not subscribed, non member*, not authorized|allowed|permitted ~ to send|post .. group|list|recipient|mailbox|user,
		not|t ~ permission|permissions .. group|list|recipient|mailbox, recipient .. only accepts, distribution group|list`,
	fullMailbox: `
		{box}|maildir|mailfolder|folder|quota|storage ~ full, {box} .. no|any|enough ~ room|space|capacity, maximum|max|full ~ size|capacity .. {box} .. reached|exceeded|used, {box} .. used all|up, {box} .. at ~ capacity, {box}|folder .. is|too full, full ~ mailbox|inbox|account, mailbox .. full,
		over ~ quota, {box} .. over ~ allotted|allowed|assigned ~ storage|space, overquota, {box} .. out of ~ storage|space|disk, out of ~ quota|storage, quota ~ exceeded|reached|violation|violated|exhausted|exceed|violate, quota .. exceeded|exceed, exceed* ~ quota|storage|space|allocation,
		exceed* .. disk|storage|mailbox space|quota|limit|allocation, mailbox|inbox .. exceed*|exeed*|exced*, mailbox|inbox|account|user ~ space|storage ~ not enough|insufficient|exhausted|low, not enough ~ storage|mailbox space|quota, enough space, no|enough more|any room .. {box}, no room left .. {box}, {box} .. at its limit, espacio agotado .. {es}, not|no enough|more ~ room .. {box}, insufficient ~ space .. {box}, {box} .. no space left, insufficient ~ mailbox|user|account space|storage|quota,
		no space left .. mailbox, space .. used up, exhausted .. storage|space, messages on the server, mail box ~ full, mailbox|inbox ~ over .. limit|quota, mailbox|inbox ~ size .. reached|exceeded, mailbox|inbox .. reached ~ maximum|max|limit, {box} .. no|any free|more|available|remaining space, no free|more|available|remaining space .. {box}, messages in ~ mailbox|inbox,
		mailbox size limit, mailbox storage, storage limit|quota, disk|disc|mail|mailbox|user|recipient quota ~ exceeded|reached|full, mailbox|disk|disc|user quota, reached ~ quota, too much mail data,
		delivery failed over quota, maildir delivery failed .. quota, account is over, user is over,
		{de}|briefkasten|posteingang .. voll|randvoll|uberfullt|ueberfuellt, {de}|posteingang .. limit|grosse|maximum|grenze|speichergrenze|maximalgrosse .. erreicht|uberschritten|uberschreitet, speicher*|kontingent*|quota .. erschopft|erreicht|uberschritten|voll|ausgeschopft|aufgebraucht, zuviele mails auf, zu viele mails auf,
		boite|messagerie|compte|bal .. plein|pleine|sature|saturee, boite|messagerie|compte|bal .. limite|taille|capacite .. atteint*|depasse*, quota .. depasse*|atteint*, {fr} .. depasse* .. quota|espace|limite, mailbox|inbox .. pleine|llena|voll|vol|cheia|piena|plna|pelna, espace .. insuffisant|depasse,
		buzon|casilla|cuenta|bandeja .. lleno|llena, cuota .. excedid*|superad*|sobrepasad*|llena, {es}|bandeja .. exced*|superad*|sobrepasad*|supera|supero|alcanz* .. cuota|espacio|limite|capacidad, {es}|bandeja .. sin espacio, sin espacio .. {es}, no hay espacio|suficiente .. {es}, exced*|superad* ~ cuota|espacio,
		caixa|conta .. cheia|lotada, cota|quota .. excedid*|ultrapassad*|atingid*|esgotad*, {pt} .. excede*|atingi*|ultrapass* .. limite|cota|quota|capacidade|espaco, {pt} .. sem espaco, casella|posta .. piena, {it}|posta .. superat*|supera|raggiunt*|esaurit* .. spazio|limite|quota|capacita, spazio .. esaurit* .. {it}, quota .. superat*|esaurit*, spazio .. esaurito,
		postvak|postbus|mailbox|account .. vol, quota|opslag*|limiet .. overschreden|bereikt, {pl} .. peln*|przepeln*|zapeln*, brak miejsca .. {pl}|koncie|skrzynce, przekroczon* .. limit|quota|pojemnosc|pojemnosci, {pl} .. przekroczyl* .. skrzynce|skrzynki|quota|pojemnosc, schranka .. plna, kvot* .. prekrocen*, {hu} .. megtelt|tele|betelt, casuta|cutia .. plina,
		posta|kutusu|kota|kotasi .. dolu|asildi|dolmus, postlada|postladan|brevlada|brevladan|inkorg|inkorgen|postkasse|postkassen|innboks|innboksen .. full|fuld, kotak .. penuh, hop thu .. đay|day, postilaatikko|laatikko .. taynna, γραμματοκιβωτιο|θυριδα .. πληρες|πληρης|γεματο|γεματη, صندوق|علبة .. ممتلئ|ممتلئة|ممتلىء, תיבת|תיבה .. מלאה,
		ящик .. переполнен*|полон|заполнен*, недостаточно|нет|закончилось ~ места .. ящик*, нет свободного места .. ящик*, ящик* .. закончилось|нет|недостаточно места, переполнен* ~ ящик*, превышен* .. квот*|лимит*, квот* .. превышен*|исчерпан*, скринька .. переповнена|заповнена,
		邮箱&已满, 收件箱&满, 邮箱&爆满, 信箱&已滿, 邮箱&满, 信箱&滿, 空间&已满, 空间不足, 容量&已满, 容量不足, 容量已滿, メールボックス&いっぱい, メールボックス&一杯, メールボックス&満杯, メールボックス&空き, 受信ボックス&満杯, 受信ボックス&いっぱい, 受信トレイ&いっぱい, 受信トレイ&満杯, 容量&超, 容量オーバー, กล่อง&เต็ม, 받은편지함&가득, 수신함&가득, 메일함&가득, 편지함&가득, 용량&초과`,
	closedMailbox: `
		{box} ~ disabled|deactivated|inactive|suspended|locked|closed|expired|terminated|frozen|discontinued|deleted|removed|cancelled|canceled|archived|retired|revoked|dormant|abandoned|decommissioned,
		{box} ~ not active|activated|enabled, disabled|inactive|deactivated|suspended|expired|closed|terminated|frozen ~ {box},
		{box} .. is disabled|inactive|suspended|deactivated, {box} .. withdrawn, {box} ~ shut down, {box} ~ shutdown, no longer active, due to ~ inactivity, inactivity, badrcptto*, badrecipientto*, envelope recipient has been denied, due to extended inactivity, email account that you tried to reach is disabled|inactive,
		{de} .. deaktiviert|gesperrt|stillgelegt|geschlossen|inaktiv|geloscht|geloescht|gekundigt|gekuendigt|aufgelost|aufgeloest|abgeschaltet|abgemeldet|erloschen, {de} .. nicht ~ aktiv, {de} .. nicht mehr aktiv,
		{fr} ~ desactive|desactivee|supprime|supprimee|fermee|ferme|suspendu|suspendue|archivee|resilie|resiliee|cloture|cloturee|efface|effacee|inactif|inactive|expire|expiree, {fr} .. est pas|plus actif|active|activee,
		{es} .. deshabilitad*|desactivad*|inactiv*|suspendid*|eliminad*|expirado|cancelad*|cerrad*|borrad*|suprimid*|clausurad*|caducad*, {es} .. dado|dada de baja, {es} .. no esta|es activ*|habilitad*,
		{pt} .. desativad*|inativ*|suspens*|cancelad*|bloquead*|encerrad*|removid*|excluid*|apagad*|desabilitad*|extint*, {pt} .. nao|mais esta|e ativ*,
		{it} .. disattivat*|disatttivat*|disabilitat*|sospes*|chius*|cancellat*|eliminat*|cessat*|rimoss*|scadut*, {it} .. non e|risulta attiv*, {it} .. non e|risulta piu attiv*, bloccat* per inutilizzo,
		{nl} .. uitgeschakeld|gedeactiveerd|opgeheven|verwijderd|gesloten|afgesloten|opgezegd|geblokkeerd|vervallen|beeindigd, {nl} .. niet ~ actief, {nl} .. niet meer actief,
		{pl} .. zablokowane|nieaktywne|zawieszone|wylaczone|usunieto|usuniete|usunieta|usuniety|zamkniete|zamknieta|zablokowana|nieaktywna|nieaktywny|skasowan*|zlikwidowan*|dezaktywowan*,
		{cs} .. zrusen*|smazan*|vymazan*|zablokovan*|deaktivovan*|uzavren*|neaktivn*, {hu} .. megszunt|torolve|torolt|toroltek|letiltva|letiltott|inaktiv|felfuggesztve|zarolva, {ro} .. sters*|inchis*|dezactivat*|suspendat*|blocat*|inactiv*,
		{sv} .. avslutat|avslutad|stangt|stangd|borttagen|borttaget|inaktiv|inaktivt|sparrat|sparrad|raderat|raderad|avstangt|avstangd, {da} .. nedlagt|lukket|slettet|deaktiveret|deaktivert|inaktiv|sperret|spaerret|stengt|avsluttet|sletta,
		{fi} .. suljettu|poistettu|lakkautettu|lukittu|jaadytetty|deaktivoitu,
		{ru} .. заблокирован*|отключен*|неактив*|удален*|деактивирован*|закрыт*|аннулирован*|ликвидирован*, {uk} .. видален*|заблокован*|відключен*|закрит*|деактивован*|вимкнен*, {bg} .. закрит*|изтрит*|блокиран*|деактивиран*|неактив*,
		{hr} .. obrisan*|ugasen*|zatvoren*|deaktiviran*|onemogucen*|ukinut*|izbrisan*|zaprt*, {el} .. διαγραφ*|απενεργοποι*|εκλεισε*|κλεισ*|ανενεργ*,
		{tr} .. devre disi|pasif|kapatildi|kapatilmis|askiya|silindi|silinmis|iptal, hesap|hesabi silindi|silinmis|kapatildi|kapatilmis, tai khoan .. bi|da khoa|xoa|dong, hop thu .. bi|da khoa|xoa|dong, {id} .. dinonaktifkan|ditutup|dihapus|diblokir|dibekukan, {id} .. tidak aktif,
		{ar} .. معطل|مغلق|محذوف, {he} .. נסגר|נסגרה|הושבת|הושבתה|נמחק|נמחקה|חסום|חסומה,
		邮箱&停用, 帐户&停用, 帐户&注销, 帐户&冻结, 帐户&禁用, 帐户&删除, 帐户&关闭, 账户&停用, 账户&注销, 账户&冻结, 账户&禁用, 账户&删除, 账户&关闭, 帐号&停用, 账号&停用, 帐号&禁用, 账号&禁用, 用户&禁用, 邮箱&禁用, 帐号&冻结, 账号&冻结, 邮箱&冻结, 用户&注销, 帐号&注销, 账号&注销, 邮箱&注销, 用户&未注册, 帐号&未注册, 账号&未注册, 邮箱&未注册, 用户&锁定, 休眠&, 帐号&删除, 账号&删除, 邮箱&删除, 用户&删除, 帐号&关闭, 账号&关闭, 邮箱&关闭, 账号&封禁, 邮箱&锁定, 账号&锁定,
		帳號&停用, 信箱&停用, 郵箱&停用, 帳戶&停用, 帳號&關閉, 信箱&關閉, 帳號&刪除, 信箱&刪除, 帳號&凍結, 帳號&停權, 信箱&停權,
		휴면, 계정&정지, 메일&중지, 계정&삭제, 메일함&삭제, 계정&비활성, 계정&해지, 탈퇴&회원, 탈퇴한&계정, 탈퇴한&사용자, アカウント&無効, アカウント&削除, メールボックス&削除, アドレス&削除, アカウント&停止, アカウント&閉鎖, アカウント&利用停止, 利用停止, 解約, 退会, บัญชี&ถูกปิด, บัญชี&ถูกระงับ, บัญชี&ถูกลบ`,
	noSuchMailbox: `
		{box} ~ not provisioned, {box} .. is gone, {box} ~ never existed, {box} ~ unknown|unregistered|undefined|invalid|nonexistent|inexistent, {box} ~ not known|registered|recognized|recognised|existing|present, unknown|invalid|illegal|bogus local part, not a|an {box} of|at|on|here|in, {box} ~ not there, no mail box ~ available|here|found|for, not found in ldap|directory|active, unknown ~ {box}|alias, unlisted ~ {box}, {box} ~ not in ~ database|ldap|list|map|table|file, {box} record missing,
		{box}|rcpt .. does|do|did not exist*, {box}|rcpt .. doesn|doesnt|don|didn t exist*, {box} .. doesnt exist, {box}|rcpt ~ not exist*, {box} .. exist not,
		does not exist here, doesn t exist here, {box} .. non existent|existing, {box} .. nonexistent, nonexistent|inexistent|undefined ~ {box}, non existent|existing ~ {box},
		{box}|rcpt .. not found|recognized|recognised|located, {box} .. could|can not be found|located|resolved, {box} .. cannot be found|located, {box} .. couldn|can t be found, {box} .. no found,
		unable to find ~ {box}, cannot|not|t ~ find|locate ~ {box}, not|t know ~ {box}, {box} isn t here|known|listed,
		no such ~ {box}|name|local|id|entry|drop|one, there is no such*, no such* user*|recipient*|mailbox*|email*|address*|virtual, no account|mailbox|user|recipient for this|that|the, no account|mailbox|user|recipient of this|that name, have no account|mailbox|user, no ~ {box} here|found|by|with|at|matches|matching|match|named|called|available|in|exists, no one|body with|by|here|at, nobody here|by|with|at|of|called, no one of|called, no one with that,
		not a|an ~ known|valid|registered|recognized|active|existing|actual ~ {box}, not known|recognized here|at this,
		invalid|illegal|bogus ~ user|users|recipient|recipients|mailbox|account|alias|userid|username|mailboxes, {box} ~ no longer exist*|valid|available|accepts|accepting|used|employed|here|with|works|on|exists|there|in,
		user|recipient|address|account no longer*, no longer valid|available|employed|works, no longer ~ employee, no longer with, employee|person|user .. left ~ company|organization|organisation|firm, {box} .. or no longer valid,
		not listed in ~ domino|public|the|our|name*|directory, not|t|no .. in ~ name|domino|our|the ~ directory, not present in ~ directory, not in ~ directory|addressbook, not in ~ address book, not in my validrcptto,
		not|t|never ~ have|has ~ account|mailbox, not|t have a|an .. account|mailbox, not our customer, bad destination mailbox*|email|recipient, unrouteable|unroutable ~ address, addressee unknown,
		recipnotfound, exrecipnotfound, recipientnotfound, recipient notfound, userunknown, unknownuser, user_unknown, missing home directory, user not here, user ~ not on this host|server|system, user not local please try*, person does not exist, handle mail for that user,
		archived recipient, can t accept user,
		{de} .. unbekannt|ungultig|ungueltig|inexistent, {de} .. existiert|existieren ~ nicht, {de} .. gibt es .. nicht, {de} .. nicht .. bekannt|gefunden|vorhanden|existent|vergeben|registriert|eingerichtet|angelegt|verzeichnet, {de} .. haben|fuhren|fuehren|kennen wir nicht, kennt|kennen ~ {de} nicht, {de} .. nie existiert, unbekannte|unbekannter|unbekanntes|ungultige|ungultiger|ungueltiger ~ {de}, kein|keine|keinen ~ {de}, kein solcher|solches {de},
		{fr} .. inconnu|inconnue|introuvable|inexistant|inexistante|invalide, {fr} .. existe|existent pas|plus, {fr} .. non trouve*|valide, {fr} .. est pas|plus connu*|valide|reconnu*, {fr} .. pas .. trouve*, aucun|aucune ~ {fr}, ne connaissons|connait pas ~ {fr},
		{es} .. desconocid*|inexistente|invalid*, {es} .. no existe|existen|encontrad*|valid*, {es} .. no se encuentra|encontro, {es} .. no esta dado|dada de alta, no corresponde a ~ {es}, {es} .. no es valid*, {es} .. no .. encontrad*|localizad*|registrad*, no existe|existen ~ {es}, no se ha encontrado ~ {es}, no hay ~ {es}, no hay ningun|ninguna ~ {es}, no se encontro|encuentra ~ {es},
		{pt} .. desconhecid*|inexistente|invalid*, {pt} .. nao existe|encontrad*|localizad*, {pt} .. nao .. encontrad*|localizad*|cadastrad*, nao existe|ha ~ {pt},
		{it} .. sconosciut*|inesistente|errat*, {it} .. non esiste|trovat*|valid*|esistente, {it} .. non .. trovat*|registrat*, {it} non presente, {it} .. non e presente|valid*|registrat*, nessun|nessuna ~ {it}, destin sconosciuto,
		{nl} .. onbekend|ongeldig, {nl} .. bestaat niet, {nl} .. niet .. gevonden|bekend|geldig, geen ~ {nl}, onbekende ~ {nl}, ongeldige ~ {nl},
		{pl} .. nieznan*|nieprawidlow*|nieistniejac*, {pl} .. nie istnieje|znalezion*|odnaleziono, {pl} .. nie .. znalezion*|figuruje|widnieje|wystepuje|zarejestrowan*, nie ma|mamy takiego|takiej ~ {pl}, nie znaleziono ~ {pl}, nieznany|nieprawidlowy ~ {pl}, brak ~ {pl}, brak takiej|takiego|takich ~ {pl},
		{cs} .. neexistuje|neznamy|neznama|nenalezen|nenalezena|neexistujici, {cs} .. neni .. znam*|registrovan*|evidovan*, {cs} .. nie je .. znam*|registrovan*, neexistujici|neznamy|neznama ~ {cs},
		{hu} .. ismeretlen, {hu} .. nem letezik|talalhato, ismeretlen|nincs ~ {hu}|ilyen, {ro} .. necunoscut*|inexistent*, {ro} .. nu exista,
		{sv} .. okand, {sv} .. finns|existerar|hittades inte|ej, {da} .. kendes|kjennes|findes|finnes|eksisterer ikke, okand ~ {sv}, {da} .. ukendt|ukjent, ukendt|ukjent ~ {da}, {fi} .. tuntematon, {fi} .. ei loydy|ole|tunneta|tunnistettu|loytynyt, tuntematon ~ {fi},
		{tr} .. bulunamadi|bilinmiyor|bilinmeyen|yok|gecersiz, {tr} .. mevcut degil, bilinmeyen|gecersiz|boyle ~ {tr}|bir,
		{ru} .. не существует|найден*|зарегистрирован*|обнаружен*|известен, {ru} .. неизвест*|отсутствует, нет такого|такой ~ {ru}, {ru} нет, {ru} .. у нас нет|отсутству*, {ru} .. не значится|числится, неизвестн*|несуществующ* ~ {ru}, {uk} .. не існує|знаидено|знайдено|відомии, {uk} .. невідом*, невідом* ~ {uk},
		{hr} .. ne postoji|postoje, {hr} .. nije pronaden|pronadjen|poznat, nepoznat|nepoznati ~ {hr}, uporabnik|prejemnik|naslov .. ne obstaja, neznan|neznani ~ uporabnik|prejemnik,
		vartotojas|gavejas|adresas .. nerastas|neegzistuoja|nezinomas, lietotajs|sanemejs|adrese .. nav atrasts|atrasta|zinams, lietotajs|sanemejs .. neeksiste, nezinomas|nerastas ~ vartotojas|gavejas|adresas, nezinams|nezinama ~ lietotajs|sanemejs|adrese, kasutaja|kasutajat|saaja|saajat|aadress|aadressi .. ei leitud|leita|eksisteeri|ole, tundmatu ~ kasutaja|saaja,
		usuari|destinatari|bustia .. desconegut|inexistent, usuari|destinatari|bustia .. no existeix|trobat,
		{ar} .. غير موجود|معروف|صالح, لا يوجد .. {ar}, {he} .. לא קיים|קיימת|נמצא|נמצאה|ידוע,
		{bg} .. не съществува|наличен, {bg} .. непознат*, непознат* ~ {bg}, няма такъв|такава|такова ~ {bg}, {el} .. δεν υπαρχει|βρεθηκε, αγνωστος {el},
		nguoi dung|nhan .. khong ton tai, tai khoan .. khong ton tai, dia chi .. khong ton tai, hop thu .. khong ton tai, khong tim thay ~ nguoi dung|nhan, khong co nguoi dung|nhan, {id} .. tidak ditemukan|dikenal|ada|terdaftar|wujud|dijumpai,
		用户&不存在, 用戶&不存在, 無此用戶, 查無此用戶, 沒有此用戶, 沒有這個用戶, 未知用戶, 找不到&用戶, 找不到&收件者, 收件者&不存在, 收件人&不存在, 使用者&不存在, 邮箱&不存在, 郵箱&不存在, 信箱&不存在, 帐号&不存在, 账号&不存在, 帳號&不存在, 账户&不存在, 帐户&不存在, 地址&不存在, 邮件地址&无效, 不存在&用户, 不存在&邮箱, 无此用户, 無此使用者, 無此帳號, 無此帳戶, 無此信箱, 無此收件人, 沒有此使用者, 没有此用户, 没有这个用户, 没有这个收件人, 没有此收件人, 没有该用户, 查无此人, 查無此人, 未知用户, 未知的用户, 用户未找到, 收件人未找到, 邮箱未找到, 帐号未找到, 找不到&用户, 找不到&收件人, 收件人&无效, 用户名&错误,
		ユーザー&存在しません, ユーザ&存在しません, ユーザ&不明, ユーザ&見つかりません, ユーザー&見つかりません, メールボックス&見つかりません, 受信者&存在しません, 受信者&見つかりません, 宛先&不明, 宛先&見つかりません, アドレス&存在しません, アドレス&見つかりません, メールボックス&存在しません, 存在しない&ユーザ, ユーザー&いません, ユーザ&いません, ユーザー&おりません, 存在しない&アドレス, 存在しない&メール, 該当する&ユーザ, 該当する&ありません, アドレス&ありません, アカウント&存在しません, アカウント&ありません, 宛先&存在しません,
		존재하지 않는&사용자, 존재하지않는&사용자, 존재하지않는&계정, 존재하지않는&메일, 존재하지않는&주소, 사용자&존재하지, 아이디&존재하지, 아이디가없, 주소&존재하지, 메일함&존재하지, 수신자&존재하지, 계정&존재하지, 사용자를찾을수없, 수신자를찾을수없, 없는사용자, 없는계정, 사용자가없, 수신자가없, 계정이없, 메일주소가없, 알수없는사용자, 존재하지않는수신자, ไม่พบผู้ใช้, ไม่พบผู้รับ, ไม่มีผู้ใช้, ไม่มีผู้รับ, ไม่มีที่อยู่, ไม่พบที่อยู่, ไม่พบบัญชี, ไม่มีบัญชี`,
	noMailboxPerhaps: `
		mailbox ~ unavailable|unavaiable|inaccessible, {box} ~ not available, account|user|recipient ~ unavailable, invalid|bad|wrong|illegal address*, bad recipient*|mailbox, address ~ invalid|wrong, invalid ~ email address*`,
	forNow: `
		temporar*, voruebergehend, vorubergehend, temporair*, temporal*, временно, 暂时, currently unavailable, in progress, another process|session|instance|program|client, being delivered|moved|migrated|rebuilt|restored|repaired|accessed|used, migrat*, en cours, in bearbeitung, en curso, em andamento, in corso, for now, right now, at ~ moment, for|to|from ~ sending|outgoing|outbound|external|relay|relaying|submission|outside|strangers`,
	greylisting: `
		greylist*, graylist*, grey|gray list*, greylst*, postgrey, sqlgrey, come back*, retry later`,
	wantsTLS: `
		starttls, tls ~ required, requires|require|use tls, encryption ~ required, encrypted connection, secure connection`,
	refusesUs: `
		{box} ~ only accept*|accepts .. from, {box} ~ blocked|blacklisted your|you|this|the, {box} ~ chosen not to receive, {box} ~ not|t ~ accept*|receive|want .. from,
		blocked|rejected|refused by ~ recipient|addressee|user|recipients|users,
		{de} ~ nimmt keine|nur .. von, {fr} .. accepte pas|que .. de, {es} .. acepta .. de, {pt} .. aceita .. de, {it} .. accetta .. da`,
	hostFull: `
		out of disk|system|server, server|system|spool|partition|filesystem|queue ~ storage|disk|space|full, file system full, tenant|server|system|message|organization storage|store ~ full, spazio|espacio|espaco su|en|em|de ~ disco, 磁盘, 磁碟, ディスク, 디스크, 服务器&空间, 伺服器&空間, サーバ&容量, 서버&용량, disk|disks|disc ~ full, insufficient ~ disk|system|resources, no space left on device, low on disk|space`,
	namesMailbox: `
		user|users|user's|mailbox|inbox|recipient*|addressee|account|maildir|folder|quota|his|her, {de}, {fr}, {es}, {pt}, {it}, {nl}, {pl}, {ru}, 邮箱, 信箱, メールボックス, 메일함`,
	receivesTooMuch: `
		receiving mail at a rate*, receiving mail too quickly`,
	errorLimit: `
		too many errors|invalid|unknown|bad|wrong|nonexist*|unsuccessful|failed|rejected, too many non existing|existent, error limit*, harvest*, dictionary|directory attack*`,
	thisSession: `
		this|per|one|same session|connection, this smtp session, in session`,
	noMailHere: `
		not|t|never accept*|receive* ~ mail*|email*|messages, no|accepts mail|no accepted|service|mail|here, not accepting mail`,
}

// classes are the nouns for what an address stands for, by language.
var classes = map[string][]string{
	"{box}": words(`user users username userid userids mailbox mailboxes inbox recipient recipients addressee address addresses account accounts alias
		person receiver customer subscriber employee email emails mailaccount localpart local_part @`),
	"{boxes}":   words(`users recipients mailboxes addresses accounts receivers addressees`),
	"{unknown}": words(`unknown invalid bad wrong nonexistent existent existing failed rejected undeliverable`),
	// Plurals: one mailbox was asked for.
	"{unknowns}": words(`unbekannter ungultiger inconnus invalides inexistants desconocidos invalidos inexistentes desconhecidos sconosciuti inesistenti
		onbekende ongeldige nieznanych nieistniejacych nieprawidlowych неизвестных несуществующих невідомих neznamych neexistujicich`),
	"{limit}": words(`limit limits limited threshold thresholds count quota maximum limite limiet limitu лимит лимита ліміт`),
	"{de}":    words(`empfanger empfaenger empfangeradresse zieladresse empfangerpostfach zielpostfach benutzerpostfach kundenpostfach mailpostfach emailpostfach benutzerkonto mailkonto emailkonto benutzer benutzername adressat postfach konto adresse mailadresse teilnehmer nutzer user mailbox emailadresse emailkontos zieladressat briefkasten`),
	"{fr}":    words(`utilisateur destinataire destinataires adresse boite compte abonne`),
	"{es}":    words(`usuario usuaria destinatario buzon direccion cuenta casilla persona correo`),
	"{pt}":    words(`usuario utilizador destinatario caixa conta endereco`),
	"{it}":    words(`utente destinatario indirizzo casella account`),
	"{nl}":    words(`gebruiker ontvanger adres mailadres emailadres mailbox postbus geadresseerde account`),
	"{pl}":    words(`uzytkownik uzytkownika odbiorca odbiorcy adres adresu adresat adresata konto konta skrzynka skrzynki uzytkownicy adresaci skrzynce skrzynke koncie`),
	"{cs}":    words(`uzivatel prijemce adresat schranka ucet adresa pouzivatel uzivatele prijemca adresata schranku schranky uctu adresu adresy pouzivatela`),
	"{hu}":    words(`felhasznalo cimzett cim postafiok fiok felhasznalot cimzettet postafiokot postafiokja fiokot fiokja cimet emailcim`),
	"{ro}":    words(`utilizator utilizatorul destinatar destinatarul adresa casuta contul cont`),
	"{sv}":    words(`anvandare anvandaren mottagare mottagaren adress adressen konto kontot brevlada brevladan`),
	"{da}":    words(`bruger brugeren bruker brukeren modtager modtageren mottaker mottakeren adresse adressen konto kontoen postkasse postkassen brugerkonto brukerkonto brukerkontoen brugerkontoen mailadressen`),
	"{fi}":    words(`kayttaja kayttajaa vastaanottaja vastaanottajaa osoite osoitetta tili tilia postilaatikko postilaatikkoa kayttajatili kayttajatilia sahkopostiosoite sahkopostiosoitetta sahkopostilaatikko`),
	"{tr}":    words(`kullanici alici hesap adres kutusu adresi hesabi kullanicisi alicisi kutu`),
	"{ru}":    words(`пользователь пользователя получатель получателя адресат адресата адрес адреса ящик ящика аккаунт аккаунта запись абонент пользователи адресатом ящику абонента получателем пользователем`),
	"{uk}":    words(`користувач користувача одержувач отримувач одержувача отримувача адреса скринька адреси скриньки запис запису акаунт`),
	"{bg}":    words(`потребител потребителят получател адрес кутия потребителя получателя адреса кутията адресат профил`),
	"{ar}":    words(`المستخدم مستخدم المستلم مستلم العنوان عنوان الحساب حساب صندوق المستقبل`),
	"{he}":    words(`המשתמש משתמש הנמען נמען הכתובת כתובת תיבת תיבה החשבון חשבון`),
	"{el}":    words(`λογαριασμος θυριδα γραμματοκιβωτιο χρηστης παραληπτης διευθυνση`),
	"{hr}":    words(`korisnik korisnika primatelj primatelja primalac primaoca adresa racun sanducic uporabnik prejemnik naslov predal`),
	"{id}":    words(`pengguna penerima alamat akun kotak`),
}

// heads are what a compound is about: an "address family" is no address.
var heads = set(`type types input part parts session sessions interaction smtp field parameter class category role attribute string token preference preferences setting settings option options syntax family literal format map database databases db store agent lookup lookups enumeration threshold thresholds count
	ipnumber filter filters list lists table tables group groups gateway gateways service services server servers rule rules backend manager tartomanya szervere`)

// places have mailboxes: the "domain of the recipient" is no recipient. Between the
// two stands one of the words in belongsTo, perhaps an article too, or the second
// is in the genitive.
var (
	places = set(`trial filter filtre filtro prazo plazo delai خادم نطاق قائمة domain annuaire verzeichnis каталог service subscription contract licence license plan certificate server host gateway backend relay domaine serveur dominio servidor domein domain domane domena сервер домен сервър
		database directory list table policy organisation organization company provider isp base liste table politique contrat fournisseur datenbank tabelle dienst system liste prufung vertrag lizenz anbieter richtlinie
		lista tabla servicio politica contrato licencia proveedor sistema tabela servico provedor elenco tabella servizio contratto fornitore databank lijst dienst provider bestand baza lista usluga dostawca serwer
		databaze seznam sluzba adatbazis lista szolgaltatas kiszolgalo serviciul databas tjanst liste tjeneste palvelu palvelin luettelo база список таблица служба сервис провайдер хост сервіс база`)
	// Stems of the same, in languages that bend their words.
	placeStems = strings.Fields(fold(`server serwer домейн домен сервер сървър система служб сервис систем списк спис databas datenbank databaz adatbazis verkkotunnu palvelin palvelim tartomany szerver kiszolgalo
		sunucu alan posluzitelj streznik domen domaine domene διακομιστη τομεα`))
	belongsTo = set(`of for du de del des di do da dos van von der d della dello dell dei degli s на του της`)
	articles  = set(`the this that our la le les el o a l il lo gli las los un une una uno`)
	// Behind these stands what a thing belongs to, whatever the thing is; a mailbox
	// is meant behind another word for one, a name, or how much room it has.
	thingsOf = set(`of du de del des di do dos d della dello dell dei degli`)
	// What a mailbox may be said to be of without being somebody else's: its owner.
	ownersOf = set(`of de d du del des der vom von van di do da dello della dell ihres ihrer eures`)
	owners   = set(`utilisateur arrivee empfangers empfaengers benutzers nutzers kunden adressaten inhabers teilnehmers mitarbeiters destino entrada reception recepcion ricezione recepcao titulaire titular titolare owner person ontvanger gebruiker eigenaar
		employee member holder dit deze onze nuestro nuestra notre unserer unserem meer baja nombre firma firm company`)
	origins = set(`vom von por par dal dallo przez door av af by from depuis desde fran fra с со от з із від од`)
	yours   = set(`ihr ihre ihrem ihren ihrer ihres dein deine deinem deinen deiner deines votre vos su sus tus vuestro vuestra seu sua seus suas teu tua vosso vossa vostro vostra vostri vostre tuo tua suo uw jouw jullie
		twoj twoja twoje twojego twojej twoim panstwa vas vase vasi vaseho vasem vasej vasho ваш ваша ваше ваши вашего вашем вашей вашу ваших вашого вашої вашият вашия вашата вашето din ditt dina dine deres vasa vaseg vasoj vasu`)
	yoursBehind  = set(`anda dvs dumneavoastra σας`)
	messageStems = strings.Fields(fold(`message messages nachricht mail email e sendung eingabe schreibweise anfrage adressbuch schreiben courriel courrier envoi saisie mensaj correo envio mensag messaggi posta bericht wiadomosc list zprav
		mesaj meddeland besked melding сообщени письм почт лист повідомлен съобщени poruk pesan surat μηνυμα spravu sprava zpravu uzenet contact destinataire destinatario recipient`))
	// In Dutch, de is an article.
	dutch    = set(`gebruiker ontvanger geadresseerde postbus mailbox`)
	measures = set(`name names nom nombre nome nomme adresse lettres correo correio electronico electronica electronique eletronico postal postale mail email messagerie posta identifiant id
		size storage space capacity limit quota quote cuota cota disk limite espacio espaco spazio espace taille tamano maximum maximo maxima capacidad capacidade capacite existence pas plus no not sin sans part list lista liste
		record records sign trace entry out because one any none instead type kind copy end use capienza dimensione volumen volume stockage almacenamiento armazenamento archiviazione disco`)
	genitives = set(`penerima pengguna المستلم المستخدم הנמען המשתמש получателя адресата пользователя абонента одержувача отримувача користувача prijemce adresata odbiorcy uzytkownika prejemnika primatelja primaoca`)
)

// smallWords are those that may stand at a ~.
var smallWords = set(`is was were are be been being has have had does do did currently now already permanently administratively or and either
	virtual local illegal invalid unknown known the this that these a an any all such ningun ninguna nenhum nenhuma here e mail email name names id address user account mailbox box part
	specified given requested intended you your his her its their to of for in on with allowed allocated disk storage mailing some one
	de l la le les het du des un une ce cet cette el los las del una o ou est a ete esta este esa ese dicha dicho da do dos das di dell il lo gli ist wurde wird ein eine der die das dieses dieser
	electronique postal correo electronico lettres aux mail aktiv takiego tego почтового почтовыи почтовои электроннои почты je jest zostalo zostala @`)

// aboutMailbox are the meanings that are about the mailbox, and conditions the
// words behind which they are only supposed.
const aboutMailbox = fullMailbox | closedMailbox | noSuchMailbox | noMailboxPerhaps

var conditions = set(`if whether unless when case se als wenn falls ob si pokud jesli jezeli czy если якщо ако hvis dersom jos eger`)

// What turningWords are in scripts without spaces, and the places that are meant
// there.
var (
	unspacedTurns = foldAll("服务商", "提供商", "供应商", "域名", "域", "網域", "服务器", "伺服器", "主机", "主機", "数据库", "資料庫", "列表", "目录", "目錄", "发件", "寄件", "规则", "策略", "附件", "记录", "服务", "服務", "验证", "驗證", "认证", "認證", "登录", "登入", "转发", "轉發", "注册",
		"プロバイダ", "ドメイン", "サーバ", "ホスト", "データベース", "リスト", "一覧", "送信者", "差出人", "添付", "レコード", "サービス", "ファイル", "確認", "認証", "転送", "ログイン", "登録",
		"공급자", "귀사", "도메인", "서버", "호스트", "데이터베이스", "목록", "발신", "첨부", "레코드", "서비스", "인증", "전달", "확인", "로그인", "전송", "โดเมน", "เซิร์ฟเวอร์")
	unspacedOf     = foldAll("の", "的", "의", "ーの", "ー")
	unspacedPlaces = foldAll("在此服务器", "在本服务器", "在该服务器", "在此域", "在本域", "在此伺服器", "在本伺服器", "在本系统", "在服务器上", "不在服务器", "在目录中", "このサーバ", "当サーバ", "本サーバ", "このドメイン", "当ドメイン",
		"이서버", "해당서버", "본서버", "이도메인", "해당도메인", "본도메인")
)

func foldAll(list ...string) []string {
	for i, text := range list {
		list[i] = fold(text)
	}
	return list
}

// A condition stands in front in Chinese too.
var unspacedConditions = []string{"如果", "若", "倘若", "假如", "如"}

// technical accounts and mailboxes are the host's own: none is the one that was
// asked for.
var technical = set(`forward forwarding dns expn vrfy ldap radius trial demo reseller sasl database db milter bind service system root administrator proxy relay gateway smarthost journal journaling archive archiving
	quarantine postmaster catchall abuse backup submission`)

// turningWords end a phrase: what follows is about another thing.
var turningWords = set(`directory database key keys table tables map maps service services relaying client clients domain domains host hosts hostname sender senders server servers relay from client ip but policy record records mx dns reverse ptr
	domaine dominio serveur servidor rechner rechners absenders hote сервер сервера absender emetteur remitente mittente остправитель домен السيرفر الخادم خادم النطاق השרת שרת הדומיין`)

// A place that is meant, "on this server", is none of them: what follows is
// still about the mailbox.
var (
	placedBy = set(`on at in by with auf bei in an sur chez en em no na su presso op bij w na på i в на`)
	thisOne  = set(`this that our the diesem unserem dem ce cet cette notre ese este nuestro nosso este esse nostro questo dit onze deze tym naszym этом этого этой нашем нашего цього questa esta este questi`)
	oneWord  = set(`neste nesse sul nel`)
)

// asides are words to the reader; what they name is not what the reply is about.
var asides = []string{
	" dear sender ", " return to sender ", " returned to sender ", " returning to sender ", " notify the sender ", " note to sender ", " please check with the sender ",
	" sehr geehrter absender ", " cher expediteur ", " estimado remitente ", " gentile mittente ", " prezado remetente ", " 尊敬的发件人 ",
}

// manyBoxes are many mailboxes where one was asked for.
var manyBoxes = set(`users mailboxes accounts persons people customers`)

// boxes are the nouns of all languages.
var boxes = func() map[string]bool {
	all := map[string]bool{}
	for name, class := range classes {
		if strings.Trim(name, "{}") != "unknown" && name != "{unknowns}" && name != "{limit}" {
			for _, word := range class {
				all[word] = true
			}
		}
	}
	return all
}()

var theLexicon = newLexicon(lexiconLists)

func words(text string) (list []string) {
	for word := range set(text) {
		list = append(list, word)
	}
	return list
}
