// Types of the API, made from openapi.json by `hoatoc openapi`.

/** `deputy`: a person of the same organisation, who is told in one's place. */
export type Absence = { deputy: string; from: string; kind: AbsenceKind; to: string };

/** On `leave` nobody is waited for; who travels reads and signs on the phone. */
export type AbsenceKind = "leave" | "travel";

export type AbsenceView = { deputy: string; from: string; kind: string; to: string };

/** Notices that somebody had to acknowledge. `in_time`: acknowledged, or done, before anybody was told again or in that one's place. */
export type AcknowledgementView = { in_time: number; late: number; share: number | null };

/** `synchronised_at` is when the list was last taken over from the axis; null before the first time. */
export type AgenciesView = { items: AgencyView[]; synchronised_at: string | null };

/** One agency of the national list. `level` is its depth in the list's tree, 1 at the top. `old_code` is the list's own; empty where it gives none. `closed`: its code takes no packets any more, since `closed_at` where that was seen, and `successor` has its work where the list says so. `test`: a unit for trials, found by its whole code only. */
export type AgencyView = { closed: boolean; closed_at: string | null; code: string; level: number; name: string; old_code: string; parent: ParentView | null; successor: string | null; test: boolean };

/** `revision`: the SHA-256 of its head. */
export type AnnexView = { id: string; page_count: number; revision: string; state: string; subject: string };

/** What became of it at one person: told, on a device, seen, acknowledged. `chain`: none, running, stopped or exhausted. */
export type AnnouncedTo = { acknowledged_at: string | null; chain: string; notice: string; person: string; received_at: string | null; seen_at: string | null; state: string; told_at: string };

/** `notices`: one a person, in their order; webhooks name them. */
export type AnnouncementAnswer = { id: string; notices: NoticeTo[] };

/** What other systems tell people of the organisation. `headline` is shown after the phone has fetched it and never leaves in a push (C12). `urgency` 0 to 4: lane, and the chain of escalation that the organisation has for the grade. `source_reference`: the system's own name for it, given back in webhooks. Without `expires_at` it is told for two weeks. */
export type AnnouncementRequest = { expires_at?: string | null; headline: string; people: string[]; source_reference?: string | null; urgency?: number };

export type AnnouncementView = { created_at: string; headline: string; id: string; people: AnnouncedTo[]; source_reference: string | null; urgency: number; withdrawn_at: string | null };

export type Answer = "" | "attend" | "decline" | "substitute";

/** A refusal says why. */
export type AnswerBody = { agree: boolean; reason?: string };

/** The documents are signed; each becomes a file when its time stamp is there (see the changes feed). */
export type ApprovalAnswer = { documents: string[] };

/** `state`: "signing", "stamping" (signed, its time stamp is awaited), "signed" (`revision` is stored) or "not_signed". */
export type ApprovalDocument = { at: string | null; document: string; revision: string | null; state: string };

/** All documents of an approval are signed or none is; each becomes a file by itself. */
export type ApprovalProgress = { documents: ApprovalDocument[] };

/** `approval` is a compact JWS by the device's approval key, `sealed_pin` the HPKE ciphertext (base64url). */
export type ApprovalRequest = { approval: string; sealed_pin: string };

export type ApprovalWithPin = { approval: string; sealed_pin: string };

/** A direction on it: `state` open or completed; `opens`: the caller may read it. */
export type ArrivalDirected = { at: string; author: string; id: string; opens: boolean; state: string };

/** `verdict` of our validation (EXC-2): null until it is judged; never for what is no PDF; `reasons` say why it is not valid. `findings` name what looks damaged or mislabelled. */
export type ArrivalFile = { content_type: string; findings: string[]; name: string; pdf: boolean; position: number; reasons: Words[]; sha256: string; size: number; verdict: string | null };

/** `kind`: new or replace is a document; revoke, update and take_back ask something about the document `about`. `urgency` is null where the sender gave a grade that nobody knows: show it as unknown, never as normal. `number` and `year` are the agency's arrival number, `own_number` the document management system's. `words` say where it stands. */
export type ArrivalLine = { about: string | null; due_date: string | null; id: string; kind: string; number: number | null; own_number: string | null; promulgation_date: string | null; received_at: string; reference: string; sender: string; sender_name: string; state: string; subject: string; type_name: string; urgency: number | null; words: Words; year: number | null };

export type ArrivalPage = { items: ArrivalLine[]; next: string | null };

/** `judgement` of all files together: pending, valid, not_valid, or nothing where there is no PDF. `asked` are the sender's words, `remark` the clerk's. `header` is the packet's MessageHeader as it came; its texts are the sender's. */
export type ArrivalView = { arrival: ArrivalLine; asked: string; decided_at: string | null; directed: ArrivalDirected[]; exchange_id: string; files: ArrivalFile[]; header: { [name: string]: any }; judged: JudgedWords; judgement: string; receiver: string; related: RelatedArrival[]; remark: string };

export type Attendance = { came?: boolean; people: string[] };

/** What a person answered for the newest revision is for whoever manages the meeting, and for himself. `organisation`: a guest's, null for members. */
export type AttendeeView = { answer: Answer | null; answered_at: string | null; came_at: string | null; name: string; organisation: string | null; person: string; position: string; reason: string; substitute: string | null; substitute_for: string | null };

export type AwaitingDevice = { device: DeviceAnswer; person_name: string };

export type Cancellation = { reason: string; sequence: number };

/** Pushes a person and hour: of hỏa tốc, of khẩn and thượng khẩn, of all others; SMS and e-mail. What is above waits in the inbox (C13). */
export type Caps = { express?: number; normal?: number; second?: number; urgent?: number };

export type CausedDocument = { document: string };

/** DER, base64url; `chain` at most one intermediate. */
export type CertificateRequest = { certificate: string; chain?: string[] };

/** What was known of the signer's certificate and those above it when the sheet was opened (SW-4). `state`: "good", "unknown" or "not_checked"; all but the first are a warning that the person must see before the PIN. `source`: "ocsp", "crl" or empty. `signing_stops_at`: until when one may sign without a status; null where it is good, or where nobody can be asked. */
export type CertificateStatusView = { checked_at: string; signing_stops_at: string | null; source: string; state: string };

export type ChainPage = { items: ChainView[]; next: string | null };

/** `state`: running, stopped (acknowledged, answered or withdrawn) or exhausted. `ended_by`: a person, or `system`. */
export type ChainView = { ended_at: string | null; ended_by: string | null; kind: string; name: string; next: notices_routes_NextStep | null; notice: string; position: string; started_at: string; state: string; title: string; urgency: number };

/** `remove`: codes of receivers that are asked to give the document back. */
export type ChangeReceivers = { add?: Receiver[]; remove?: string[] };

/** `next` always continues: ask again with it later. A tombstone says: remove every copy of the document. */
export type ChangesPage = { items: documents_routes_ChangeView[]; next: string };

/** `second` is SMS or, without a number, e-mail; `all` is push and second. */
export type Channel = "push" | "second" | "all";

/** issued, deliveries, signing, acknowledgement or overdue */
export type Chart = "issued" | "deliveries" | "signing" | "acknowledgement" | "overdue";

/** A picture of `/api/v1/reports/charts/{name}`; `title` is what it shows. */
export type ChartView = { name: string; title: string };

export type ClientAnswer = { client_id: string; created_at: string; name: string; scopes: string[]; state: string };

export type ClientCreated = { client_id: string; client_secret: string };

/** Another meeting of this person at the same time; its id and title only where it is the caller's own. `time` as in Vietnam. */
export type ConflictView = { meeting: string | null; name: string; person: string; time: string; title: string | null };

/** `urgency` 0 to 4: the least for its notices. `source_reference`: the caller's own name for it, given back in webhooks. */
export type Convening = { agenda?: string; asked?: string; attendees: string[]; chair: string; ends_at: string; place: string; source_reference?: string | null; starts_at: string; title: string; urgency?: number };

/** An electronic copy. `of`: number and symbol, date and issuer of what was copied; `original`: whether that is on paper (digitised, DOC-3) or electronic; `ordered_by`: name and position of whoever decided that it is copied (Decree 30 art. 27). */
export type Copy = { form: CopyForm; of: string; ordered_by: string; original: "electronic" | "paper" };

/** The three forms of a copy (Decree 30 art. 25): of an original, of a certified copy, of a part. */
export type CopyForm = "sao_luc" | "sao_y" | "trich_sao";

export type CountView = { by_day: DayView[]; count: number };

/** How many of them are page images of that revision. */
export type Counted = { counted: number };

export type CreateClientRequest = { name: string; scopes: Scope[] };

/** Lengths of the register of documents (DOC-7): these names travel in packets. */
export type CreatePersonRequest = { authority_line?: string; locale?: "vi" | "en"; name: string; position?: string; roles?: Role[] };

export type CredentialView = { certificate: string | null; id: string; key_type: string; kind: string; not_after: string | null; state: string; subject: string };

/** `day`: a local day. Days without any are left out. */
export type DayView = { count: number; day: string };

export type DeadLetterPage = { items: DeadLetterView[]; next: string | null };

/** A message that was given up. `reason`: what the endpoint answered, `HTTP 503` or the kind of failure; `message` is its `webhook-id`. */
export type DeadLetterView = { attempts: number; created_at: string; event: string; given_up_at: string; message: string; reason: string };

export type Decided = { state: string };

/** `packet` is null before the document leaves; `receivers` are then who will receive it. `failure`: the packet could not be made, or the axis refused it; an operator has it sent again. */
export type DeliveriesView = { document: string; failure: FailureView | null; messages: MessageView[]; packet: PacketView | null; purged: PurgeView[]; receivers: ReceiverView[]; unpurged: HolderView[] };

/** `short_code` is what the registration officer compares; `approval_jwk` goes into the voucher. */
export type DeviceAnswer = { admitted: boolean; approval_jwk: { [name: string]: string }; approval_key: string; created_at: string; id: string; label: string; office: boolean; person: string; platform: string; revoked_at: string | null; seen_at: string; short_code: string; state: string };

/** What only the device can tell; a push service's 200 is none of these. */
export type DeviceEvent = "received" | "shown" | "read";

export type DeviceReport = { at: string; event: DeviceEvent; notice: string };

export type DeviceReports = { reports: DeviceReport[] };

/** `sequence` is the revision that reports are now for; `state` that of the direction: open, completed or withdrawn. */
export type DirectiveAnswer = { id: string; sequence: number; state: string };

/** The whole of the new revision; `sequence` is the revision that it was made from. */
export type DirectiveChange = { coordinators?: string[]; due_date?: string | null; lead: string; sequence: number; text: string };

/** One deed of the course of handling: given, changed, withdrawn, in_work or completed. `author` is empty for people of other organisations. */
export type DirectiveEntry = { at: string; author: string; due_date: string | null; kind: string; progress: number | null; sequence: number; text: string };

/** A file of what is directed on; pages of a `pdf` are read here, whichever organisation it lies in. */
export type DirectiveFile = { name: string; pdf: boolean; position: number; size: number };

/** A line of a list: who has it (`line`), what it is about, who gave it. `open`: neither completed nor withdrawn. */
export type DirectiveLine = { author: string; author_unit: string; id: string; line: TreeLine; open: boolean; reference: string; sequence: number; title: string; urgency: number };

export type DirectivePage = { items: DirectiveLine[]; next: string | null };

/** `state`: in_work (with `progress` in per cent, `word` or both) or completed. `sequence`: the revision that it is for. */
export type DirectiveReport = { progress?: number | null; sequence: number; state: "in_work" | "completed"; word?: string };

/** An organisation of this installation below the caller's. */
export type DirectiveUnit = { code: string; id: string; name: string };

/** `manages`: the caller gave it. `mine`: the state of the caller's own place. `days_late` of its latest line. `arrival` and `document`: what it is about, for people of the organisation that gave it. `lines` is the tree, `entries` the newest first. */
export type DirectiveView = { arrival: string | null; author: string; author_position: string; author_unit: string; days_late: number; document: string | null; due_date: string | null; entries: DirectiveEntry[]; files: DirectiveFile[]; given_at: string; id: string; lines: TreeLine[]; manages: boolean; mine: string | null; reference: string; sequence: number; state: string; text: string; title: string; urgency: number };

export type DirectiveWithdrawal = { reason: string; sequence: number };

/** `annex_of`: the main document of an annex, whose number it has; `copy`: the form of a copy. */
export type DocumentLine = { annex_of?: string | null; copy?: CopyForm | null; created_at: string; id: string; notation: string; number: string; page_count: number; revision: string; state: string; subject: string; urgency: number };

export type DocumentPage = { items: DocumentLine[]; next: string | null };

/** A document as its readers see it; `revision` is the head's SHA-256. `open_every_page`: who signs or initials must have had every page on his screen (`reportOpenings`), because the document or its organisation asks for it. `annexes`: in files of their own, which leave with it; `annex_of`: the main document of one of those; `copy`: what this is a copy of. Annexes and copies are sealed alone (SIG-4, SIG-6). */
export type DocumentView = { annex_of?: string | null; annexes?: AnnexView[]; copy?: Copy | null; created_at: string; due_date: string | null; exchange_id: string; id: string; notation: string; number: string; open_every_page: boolean; overdue_at: string | null; page_count: number; promulgation_date: string; promulgation_place: string; revision: string; revisions: { [name: string]: any }[]; route: StepView[]; source_reference: string | null; state: string; state_since: string; step: number | null; subject: string; type_name: string; urgency: number; version: number };

/** `sequence` is the step that the next change follows. `link` is for the applicant and stands in this answer alone. */
export type DossierAnswer = { id: string; link?: string | null; sequence: number };

/** `late`: null, `promised` (the promised date is over) or `unhandled` (nobody has handled the step for the organisation's number of working days). */
export type DossierView = { closed: boolean; handled: boolean; id: string; late: string | null; promised: string | null; sequence: number; since: string; step: string; unit: string; words: { [name: string]: string } };

/** `csr` (base64url DER) is there after `enrol`. */
export type EnrolmentAnswer = { credential: string; csr: string | null; state: string };

/** `join`: for `enrol` and `add_holder` the join JWS; for `add_device` the approval by the new key. */
export type EnrolmentRequest = { join: string; sealed_pin: string };

/** A voucher for this device: seal the PIN bound to it, sign the join, and post both under its digest. `joined`: that was done, and the present holder has to hand over. */
export type EnrolmentView = { credential: string; digest: string; joined: boolean; kind: string; purpose: string; voucher: string };

/** Why something was not sent. `code` and `description` are the axis' words as received; without a description, a code of ours. */
export type FailureView = { code: string; description: string; words: Words };

export type FcmAddress = { registration_token: string };

/** Whoever knows `url` reads the calendar: it is for the person's own calendar application. */
export type FeedAddress = { url: string };

export type FeedView = { created_at: string; fetched_at: string | null };

/** Where a signature field shows on a page. `state`: `filled` is the stamp of this approval, `reserved` an empty field of a later signer or of the seal. `rect`: left, bottom, right, top in thousandths of a user-space unit, unrotated; all zero for an invisible field. */
export type FieldArea = { name: string; page: number; rect: [number, number, number, number]; state: string };

/** Whom the next step would tell, as people are reachable now. */
export type Foreseen = { at: string; channel: string; name: string; target: string };

/** `authority` is what will stand on the page; `digest` the SHA-256 of the signed grant, which a grant passed on names. */
export type GrantAnswer = { authority: string; digest: string; id: string };

export type GrantPage = { items: GrantView[]; next: string | null };

/** `grant`: compact JWS by the approval key of the grantor's device, `typ` `hoatoc-grant+jws`. Its payload is JSON without white space, these members in this order: `v` (1), `organisation` (exchange code), `form` (KT, TL, TUQ, TM, Q), `grantor`, `holder`, `line`, `paper`, `types` (names, empty: all), `urgency` (up to), `parent` (digest of a TL. grant that is passed on, or ""), `not_before`, `not_after` (microseconds UTC), `nonce` (16 bytes, base64url). */
export type GrantRequest = { grant: string };

/** `authority` is what stands on the page, a line each; `signed` the grant as its grantor's device signed it. */
export type GrantView = { authority: string; created_at: string; digest: string; form: string; grantor: string; holder: string; id: string; not_after: string; not_before: string; paper: string; parent: string | null; revoked_at: string | null; signed: string; state: string; types: string[]; urgency: number; used_at: string | null };

/** A leader of another organisation of this installation. */
export type GuestView = { id: string; name: string; organisation: string; position: string };

/** `grant` for a signature: its holder takes the step. `person` for initials, which carry no authority: a member of the staff or a leader. */
export type HandOver = { grant?: string; person?: string };

export type HandoverView = { credential: string; digest: string; newcomer: string; voucher: string };

/** `holders`: ids of people; the seal may have several. */
export type HeldView = { holders: string[]; id: string; kind: string; not_after: string | null; state: string; subject: string };

/** A device that had a recalled document and has not said that it removed it. `label` is what its owner calls it. */
export type HolderView = { device: string; label: string; person: string };

/** From `start` to before `end`, in minutes of the local day; past midnight where the end is the smaller one. */
export type Hours = { end: number; start: number };

/** Ngâm: working hours that a document may stay untouched by its handler before the handler, and then the head, is told. */
export type Idle = { handler_hours?: number; head_hours?: number };

/** multipart/form-data: `file` is a PNG of at most 2 MiB with a transparent background. */
export type ImageForm = { file: string };

export type InboxItem = { at: string; due_date: string | null; id: string; notation: string; number: string; overdue_at: string | null; page_count: number; reason: string; revision: string; state: string; subject: string; type_name: string; urgency: number; waiting: boolean };

export type InboxPage = { items: InboxItem[]; next: string | null };

/** What the document management system gets back: the document's id, its first revision, and warnings: documents with the same number (DOC-8), and what is not of Decree 30's form. `placements`: where the marks will stand, in the route's order, the seal's last, as the drafter said or the text does; null where a mark is laid out when it is signed. A replacement with other rectangles moves them. */
export type IntakeAnswer = { duplicates: string[]; id: string; page_count: number; placements?: (Placement | null)[]; revision: string; state: string; warnings?: LayoutWarning[] };

/** multipart/form-data: `metadata` is the JSON of Metadata, `file` the PDF. */
export type IntakeForm = { file: string; metadata: string };

/** What our validation says of the files together. */
export type JudgedWords = { words: Words };

export type Jwk = { crv: string; kty: string; x: string; y: string };

/** Language of units and words */
export type Language = "vi" | "en";

/** Something on the page that is not as the rule has it; the document is taken in all the same. */
export type LayoutWarning = { rule: string; text_en: string; text_vi: string };

/** `head` is a JWS by `log_key`; keep some outside, and no history before them can be rewritten unnoticed. */
export type LogHeadView = { head: string; log_key: { [name: string]: string } };

export type MeAnswer = { device: string; organisation: string; organisation_code: string; organisation_name: string; person: PersonAnswer };

/** `sequence` is the revision that attendees now answer for; `urgency` how its notices go out (MTG-5). `short_notice`: there are fewer working days left than the organisation's rule asks for (MTG-2); it is called all the same. */
export type MeetingAnswer = { id: string; sequence: number; short_notice?: boolean; state: string; urgency: number };

/** A meeting in a list. `state`: planned, cancelled, or withdrawn for whoever was taken off. `time` is start and end as in Vietnam. `answer` counts for revision `sequence`; `open`: it can still be answered and changed. `changes`: since the caller's last answer, else since the revision before. `silent`: how many have not answered, for whoever manages the meeting. */
export type MeetingLine = { answer: Answer; attends: boolean; changes: meetings_words_ChangeView[]; ends_at: string; id: string; managed: boolean; open: boolean; place: string; sequence: number; silent: number | null; starts_at: string; state: string; time: string; title: string; urgency: number };

/** What an invitation by e-mail says to attendees who asked for one (MTG-4). `times`: that there is a meeting, from when to when (C12); `full`: all of it. */
export type MeetingMail = "off" | "times" | "full";

export type MeetingPage = { items: MeetingLine[]; next: string | null };

/** `note`: why it was cancelled. `mine`: the caller's own place on the list. */
export type MeetingView = { agenda: string; answer: Answer; asked: string; attendees: AttendeeView[]; attends: boolean; chair: string; changed_at: string; changes: meetings_words_ChangeView[]; conflicts: ConflictView[]; ends_at: string; id: string; managed: boolean; mine: AttendeeView | null; note: string; open: boolean; organiser: string | null; papers: PaperView[]; place: string; sequence: number; silent: number | null; source_reference: string | null; starts_at: string; state: string; time: string; title: string; uid: string; urgency: number };

/** `notice_days`: working days between an invitation and its meeting; fewer are warned of, not refused (MTG-2); 0: no warning. `remind_hours` before the start whoever has not answered is asked again; 0: nobody. */
export type Meetings = { mail?: MeetingMail; notice_days?: number; remind_hours?: number };

/** Said to receivers beside the document's own packet. `what`: revoke, update, new (to late receivers), or 13. */
export type MessageView = { accepted_at: string | null; code: string | null; created_at: string; failure: FailureView | null; receivers: string[]; stage: string; what: string; words: Words };

/** What the document management system says of the document: the fields of an edXML MessageHeader (DOC-7 lengths). `urgency` 0 to 4 (thường, khẩn, thượng khẩn, hỏa tốc, hỏa tốc hẹn giờ). `secrecy` is declared so that it can be refused (SEC-1). Dates are `YYYY-MM-DD`. `open_every_page`: nobody signs or initials before his device has shown every page to him. `replaces`: ids of documents that were sent before and that this one stands in the place of at their receivers. Marks stand where the text says; `placement` and `seal_placement` are the drafter's own rectangles, and a replacement with others moves them. Two kinds of file have no `signers`, as the organisation seals them alone, in the upper right corner of page one. `annex_of`: an annex in a file of its own, by the id of its main document, which has not left: number, symbol, date, urgency and receivers are that document's, it waits for that document's seal, and all leave in one packet (SIG-4): at most 50 annexes, and 400 MiB with the document. `copy`: a copy, with a number and receivers of its own (SIG-6). */
export type Metadata = { annex_of?: string | null; content?: string; copy?: Copy | null; due_date?: string | null; notation: string; number: string; open_every_page?: boolean; promulgation_date: string; promulgation_place: string; receivers: Receiver[]; replaces?: string[]; seal_field?: string; seal_placement?: Placement | null; secrecy?: string; signers: SignerStep[]; source_reference?: string | null; subject: string; to_places?: string[]; type_name: string; urgency: number };

/** One of three: a registered `arrival`, a `document` that was issued, or the direction `above` that names the caller. */
export type NewDirective = { above?: string | null; arrival?: string | null; coordinators?: string[]; document?: string | null; due_date?: string | null; lead: string; text: string };

/** `reference`: the one-stop system's own name for it. The unit's people see it when a step is late; applicants never; it is forgotten at the end. */
export type NewDossier = { handled?: boolean; promised?: string | null; reference: string; step: StepCode; unit: string };

export type NoticePage = { items: NoticeView[]; next: string | null };

/** `quiet`: no notices below khẩn are pushed then; they come at its end. `deputy` stands in whenever no absence names another. `phone` (E.164) and `email` are told of notices that nobody acknowledges, without a word of what they are about; empty: not. `meetings_by_mail`: invitations come to `email` as well, as much of them as the organisation's rules let out. */
export type NoticeSettings = { deputy?: string | null; email?: string; meetings_by_mail?: boolean; phone?: string; quiet?: Hours | null };

export type NoticeTo = { notice: string; person: string };

/** A notice with its texts; `subject`, `number` and `headline` only reach a phone through this answer, never through a push. `about` names what it is about (`document:…`, `arrival:…`, `meeting:…`, `order:…` a direction, `escalation:…`); of one `about` the highest `revision` counts. `state` is open, acknowledged, superseded, withdrawn or settled (what it asked for was done). Who is told in another's place reads in `headline` whom they stand in for, and acknowledges for that person. */
export type NoticeView = { about: string; acknowledged_at: string | null; created_at: string; document: string | null; expires_at: string; headline: string; id: string; kind: string; next: notices_routes_NextStep | null; number: string | null; revision: number; state: string; subject: string | null; title: string; title_en: string; urgency: number; urgency_name: string };

/** Overdue now. `kind`: document, arrival (an incoming one), directive or dossier. `unit`: the person or unit that holds it, the clerks, the leaders, the receivers or this system. */
export type OverdueView = { count: number; kind: string; unit: string };

/** What waits for somebody. `what`: document, arrival or order (a direction). `handler`: `person`, whose `name` and `position` follow, or `clerks`, `leaders` (an arrival that nobody directed), `unit` (leaders and clerks, whom a direction from above names). `idle`: its handler has not touched it for as long as the organisation allows; `overdue`: its own `due_date` has passed. `subject` only for whoever may read it. */
export type OverseenItem = { due_date: string | null; handler: string; id: string; idle: boolean; name: string | null; number: string; overdue: boolean; position: string | null; since: string; subject: string | null; urgency: number; what: string };

/** `held`: documents, arrivals and directions that wait for a person in all; `unanswered`: express notices that nobody has acknowledged yet. `items`: 200 at most. */
export type Overview = { held: number; idle: number; items: OverseenItem[]; overdue: number; unanswered: number };

/** Ten digits at most (DOC-7). */
export type OwnNumber = { number: string };

export type OwnView = { absence: AbsenceView | null; deputy: string | null; email: string; meetings_by_mail: boolean; phone: string; quiet: Hours | null };

/** `stage`: ready, sending, unknown, accepted or refused. `code` and `description` are the axis' last words, as received. */
export type PacketView = { accepted_at: string | null; axis_id: string | null; code: string | null; description: string | null; digest: string; revision: string; sent_at: string | null; stage: string };

/** One image of one page. `page` counts from 1; `width`, `height` in pixels; `digest`, `size`: SHA-256 and bytes of the image file; `from_revision`: the SHA-256 of the file that it was rendered from (an older one, if the comparison proved that the page has not changed since). */
export type PageImage = { digest: string; from_revision: string; height: number; page: number; size: number; width: number };

/** `qr`: the link as a QR code (ISO/IEC 18004), rows of modules top to bottom, `1` dark, without the quiet zone of 4. */
export type PairingCodeAnswer = { code: string; expires_at: string; link: string; qr: string[] };

/** `office`: the device stands in the office and may seal (SIG-8). */
export type PairingCodeRequest = { office?: boolean };

/** `revision` is the file's SHA-256; `version` counts from 1. */
export type PaperAnswer = { id: string; page_count: number; revision: string; version: number };

/** multipart/form-data: `file` is a PDF, `name` what it is called, `replaces` the id of the paper whose place it takes. */
export type PaperForm = { file: string; name: string; replaces?: string };

/** `revision` (SHA-256) and `size` in bytes let a phone fetch all papers ahead; `version` above 1: it took another's place. */
export type PaperView = { changed_at: string; id: string; name: string; page_count: number; revision: string; size: number; version: number };

/** The unit above. */
export type ParentView = { code: string; name: string };

export type PendingView = { csr: string; id: string; kind: string; subject: string };

export type PeoplePage = { items: PersonAnswer[]; next_cursor: string | null };

export type PersonAnswer = { authority_line: string; id: string; key_frozen: boolean; locale: string; name: string; position: string; roles: string[]; state: string };

/** A rectangle on a page as the reader sees it: page from 1, millimetres from the top left corner. */
export type Placement = { height_mm: number; page: number; width_mm: number; x_mm: number; y_mm: number };

/** A chain for notices of grade `urgency` and above, up to the next policy's. `duty`: who is the duty officer, in order; empty: whoever has that role. With `working_time` waiting counts working hours alone. */
export type Policy = { duty?: string[]; steps: Step[]; urgency: number; working_time?: boolean };

/** What letters would have cost: `total_dong` = `deliveries` × `tariff_dong`. */
export type PostageView = { deliveries: number; formula: string; tariff_dong: number; total_dong: number };

export type PreparedManifest = { fields: FieldArea[]; hole_end: number; hole_start: number; images: PageImage[]; length: number; page_count: number; parent: string; parent_length: number; prepared: string; renderer: string; tbs: string; typ: "hoatoc-prepared-manifest"; v: number };

/** One problem type. `retry`: whether the same request may succeed later without being changed. */
export type Problem = { cause: string; code: string; retry?: boolean; status: number; title_en: string; title_vi: string };

/** RFC 9457 problem document; texts by Accept-Language, types in openapi/problems.json. */
export type ProblemDocument = { code: string; detail?: string; retry: boolean; status: number; title: string; trace_id: string; type: string; [name: string]: any };

/** A P-256 public key (RFC 7517); a private member is an unknown field. WebCrypto's `key_ops` and `ext` may stay. */
export type PublicJwk = { crv: "P-256"; ext?: boolean | null; key_ops?: "verify"[] | null; kty: "EC"; x: string; y: string };

/** A device that says it removed its copies after a recall (EXC-5). */
export type PurgeView = { at: string; device: string; label: string; person: string };

/** Documents and arrivals that the feed named with a tombstone. */
export type Purged = { documents: string[] };

export type PurgesKept = { recorded: number };

export type Reason = { reason: string };

export type Receipt = { approval: string; approval_key: Jwk; cms: string; document: string; head: string; id: string; leaf: string; log_key: Jwk; log_size: number; manifest: string; position: number; proof: string[]; revision: string; tbs: string; typ: "hoatoc-receipt"; v: number };

export type ReceiptLine = { at: string; id: string; kind: string };

export type Receiver = { name: string; organ_id: string };

/** `status_code` is the status that led to `state`; `statuses` all that came, in the order of their coming. */
export type ReceiverView = { name: string; organ_id: string; state: string; status_code: string | null; statuses: StatusView[]; updated_at: string; words: Words };

/** Who receives the document now, by code. */
export type ReceiversChanged = { receivers: string[] };

export type Recorded = { recorded: number };

export type RedeemRequest = { approval_jwk: PublicJwk; code: string; label: string; platform: "web" | "android" | "ios" | "other"; session_jwk: PublicJwk };

/** `despite`: why the document is registered although its files are not valid; it goes into the log. */
export type RegisterBody = { despite?: string };

/** The arrival number, of the agency and year. */
export type Registered = { number: number; state: string; year: number };

/** What came about the same document. */
export type RelatedArrival = { asked: string; id: string; kind: string; received_at: string; state: string; words: Words };

/** `answer`: attend, decline (with `reason`), substitute (with a person's id). `sequence`: the revision that it is for (MTG-5). */
export type Reply = { answer: Answer; reason?: string; sequence: number; substitute?: string | null };

/** A file's verdict ("valid" | "not_valid") and why. `reasons` speak of the file as a whole, `notes` of what was not judged. */
export type Report = { checked_at: string; en: string; notes: Sentence[]; reasons: Sentence[]; revisions: number; sha256: string; signatures: SignatureReport[]; size: number; verdict: string; vi: string };

/** One number in words, to be shown as it is. */
export type ReportLine = { name: string; value: string };

/** Documents issued and deliveries are two things and stand apart: one document goes to many receivers. */
export type ReportView = { acknowledgement: AcknowledgementView; at: string; charts: ChartView[]; deliveries: CountView; from: string; issued: CountView; lines: ReportLine[]; overdue: OverdueView[]; postage: PostageView; signing: SigningView; to: string };

/** The whole of the new revision; `sequence` is the revision that it was made from. Without `urgency` it keeps that revision's. */
export type Rescheduling = { agenda?: string; asked?: string; attendees: string[]; chair: string; ends_at: string; place: string; sequence: number; starts_at: string; title: string; urgency?: 0 | 1 | 2 | 3 | 4 | null };

/** `messages`: which; without them the oldest thousand. */
export type Resending = { messages?: string[] };

export type Resent = { queued: number };

export type ResumeRequest = { statement: string };

export type ReturnBody = { reason: string };

export type RevisionManifest = { images: PageImage[]; length: number; page_count: number; renderer: string; revision: string; typ: "hoatoc-revision-manifest"; v: number };

/** A person may have several. Clerk is văn thư; the duty officer stops keys and devices outside office hours. */
export type Role = "leader" | "clerk" | "registration_officer" | "staff" | "administrator" | "duty_officer";

/** All of an organisation's rules. `days`: local days (`2026-08-22`) that are working days (true) or free (false) whatever the calendar says; `quiet_off_days`: normal notices wait over days without work, too. `open_every_page`: nobody signs or initials a document of this organisation before every page of it stood on his screen; a document may ask for it by itself. `unhandled_days`: how many working days a step of the one-stop office may be without a handler before it is late. `heads` are told what `idle` says and, at the minute `digest` of every working day, how much there is; empty: every leader. `idle` and `digest` may be null: nobody is told. With the `revision` that they were made from they are refused where there is a later one; without, the last one counts. */
export type RulesRequest = { caps?: Caps; days?: { [name: string]: boolean }; digest?: number | null; heads?: string[]; idle?: Idle | null; meetings?: Meetings; open_every_page?: boolean; policies?: Policy[]; quiet?: Hours | null; quiet_off_days?: boolean; revision?: string | null; unhandled_days?: number; work?: Hours };

/** All of an organisation's rules. `days`: local days (`2026-08-22`) that are working days (true) or free (false) whatever the calendar says; `quiet_off_days`: normal notices wait over days without work, too. `open_every_page`: nobody signs or initials a document of this organisation before every page of it stood on his screen; a document may ask for it by itself. `unhandled_days`: how many working days a step of the one-stop office may be without a handler before it is late. `heads` are told what `idle` says and, at the minute `digest` of every working day, how much there is; empty: every leader. `idle` and `digest` may be null: nobody is told. `revision` goes back with the changed rules: what somebody else set meanwhile is then not lost. */
export type RulesView = { caps?: Caps; days?: { [name: string]: boolean }; digest?: number | null; heads?: string[]; idle?: Idle | null; meetings?: Meetings; open_every_page?: boolean; policies?: Policy[]; quiet?: Hours | null; quiet_off_days?: boolean; revision: string; unhandled_days?: number; work?: Hours };

/** What a service client's token is good for. */
export type Scope = "documents:write" | "documents:read" | "changes:read" | "webhooks:manage" | "directory:read" | "meetings:write" | "notices:write" | "onestop:write";

export type SealingKeyView = { identity: { [name: string]: string }; statement: string };

/** A stable code and what it says. */
export type Sentence = { code: string; en: string; vi: string };

export type SessionAnswer = { device: DeviceAnswer; tokens: TokenAnswer };

/** The approval sheet. The device recomputes `manifest_digest` from the manifest, checks the image digests, and signs both digests; `organisation` and `credential` go into the approval as they stand. `kind`: "person" (a signature), "initials" (ký nháy) or "seal". `unopened`: pages that the document wants opened first (`reportOpenings`), of itself or of an annex, as `unopened_in` says; until it is empty the approval is refused. */
export type SheetView = { certificate_status: CertificateStatusView; credential: string; document: string; expires_at: string; field: string; kind: string; manifest_digest: string; organisation: string; page: number; page_count: number; parent: string; prepared: string; subject: string; tbs: string; unopened: number[]; unopened_in: string };

/** `image`: SHA-256 of the image that was on the screen, as the manifest names it. */
export type ShownPage = { image: string; page: number };

export type ShownPages = { pages: ShownPage[] };

/** One signature, or a document time stamp (`kind`: "signature" | "document_timestamp"). `indication`, `sub_indication`: EN 319 102-1. `organisation`: the certificate's managing unit. `time` is proven by a time stamp of `time_source` ("signature", "document", "" for none). `integrity`, `valid_at_signing`: None where that could not be read. `revocation`: "good", "revoked", "unknown" or "not-checked". `covers`: bytes of the file when it was signed; `whole_file`: nothing was added afterwards. `purpose`: what the signer wrote as the reason, his own word ("Ký nháy": initials). */
export type SignatureReport = { algorithm: string; certificate_sha256: string; covers: number; field: string; indication: string; integrity: boolean | null; issuer: string; kind: string; level: string; not_after: string | null; not_before: string | null; organisation: string; purpose: string; reasons: Sentence[]; revocation: string; serial: string; signer: string; sub_indication: string; time: string | null; time_source: string; valid_at_signing: boolean | null; whole_file: boolean };

/** One person of the route, in order. `authority` is the line above the position, such as `KT. CHỦ TỊCH` (AUT-1). `grant`: the id of a grant of authority that gives this line instead (AUT-6); it is asked again at the signature. `field`: an empty signature field of the file to sign in; a certified file (DocMDP P=2) can be signed in such fields alone. `initials`: ký nháy of whoever drafted or checked, before those who sign and without an authority of his own (SIG-10). */
export type SignerStep = { authority?: string; field?: string; grant?: string; initials?: boolean; person: string; placement?: Placement | null };

/** Seconds from the document's arrival to its last personal signature, of what was signed in the period; null where nothing was. The median and the 90th percentile are continuous: SQL's percentile_cont. */
export type SigningView = { documents: number; median_s: number | null; p90_s: number | null };

/** The image as it is kept, cut to its ink. Pixels; `diameter_mm` of the real seal, null for a person's signature. */
export type StampImageView = { diameter_mm: number | null; height: number; width: number };

export type StateView = { state: string };

/** `stated_at` is the receiver's clock, `received_at` ours. */
export type StatusView = { code: string; description: string; received_at: string; stated_at: string | null; words: Words };

/** `after_s`: how long the step before may stay without an acknowledgement. */
export type Step = { after_s: number; channel: Channel; target: Target };

/** The states of a dossier as public service portals name them. A closed list: no free text of a step can carry a name. */
export type StepCode = "registered" | "received" | "not_received" | "processing" | "supplement" | "payment" | "withdrawing" | "stopped" | "finished" | "returned";

export type StepView = { authority: string; decided_at: string | null; kind: string; name: string | null; person: string | null; position: number; state: string; title: string | null };

/** RFC 8291: the receiver's P-256 point (65 bytes) and authentication secret (16 bytes), base64url. */
export type SubscriptionKeys = { auth: string; p256dh: string };

/** Whom a step tells. `person`: the one that the notice is for. `sender`: whoever caused it, else the clerks. */
export type Target = "person" | "deputy" | "duty_officer" | "sender";

/** RFC 6749 §5.1 and RFC 9449 §5. */
export type TokenAnswer = { access_token: string; expires_at: string; expires_in: number; refresh_token?: string | null; scope?: string | null; token_type: string };

/** One telling, with its receipts. `channel`: fcm, webpush, sms, email, inbox or none. `step` 0 is the notice itself. `outcome`: queued, held (quiet hours, a storm), accepted (by the push service, gateway or mail server), seen (the open app showed it before a push left), dead, expired, superseded …; where `channel` is none, why nobody was told: absent, on-leave, no-deputy, no-such-channel. */
export type Told = { accepted_at: string | null; acknowledged_at: string | null; at: string; channel: string; name: string | null; outcome: string; person: string | null; position: string | null; read_at: string | null; received_at: string | null; shown_at: string | null; step: number };

/** Who was told of one notice, when, by which channel. `chain`: none, running, stopped or exhausted. */
export type ToldView = { chain: string; name: string; next: Foreseen[]; notice: string; person: string; position: string; state: string; told: Told[]; urgency: number };

/** One line of the tree; `depth` from 0. `kind`: person, unit (an organisation of this installation), or receiver, which is reached over the exchange and reports by its statuses 04, 05, 06 (EXC-6). `text` is the order that the line belongs to, where the caller may read it; `opens`: its direction is another one that the caller may open. `progress` in per cent; `days_late` counts to the completion. */
export type TreeLine = { assignee: string; days_late: number; depth: number; directive: string; due_date: string | null; kind: string; lead: boolean; name: string; opens: boolean; position: string; progress: number | null; state: string; text: string; told_at: string | null; word: string; words: Words };

export type TriesView = { locked_until: string | null; tries_left: number };

/** What applicants read as the unit, never a person's name. `responsible`: people of the organisation who are told of steps that nobody handles. */
export type UnitRequest = { name: string; name_en?: string; responsible: string[] };

export type UnitView = { code: string; name: string; name_en: string; responsible: string[] };

/** multipart/form-data: `file` is the PDF to be judged. */
export type ValidationForm = { file: string };

export type VoucherAnswer = { digest: string };

/** `purpose`: `person`, or `seal` for the organisation's key. */
export type VoucherRequest = { purpose?: string; voucher: string };

export type WebPushActivation = { challenge: string };

/** A PushSubscription as the browser's toJSON() gives it. */
export type WebPushAddress = { endpoint: string; expirationTime?: number | null; keys: SubscriptionKeys };

export type WebPushAddressState = "none" | "pending" | "active" | "dead";

/** `vapid_key`: the `applicationServerKey` for subscribing (RFC 8292), null where this server sends no Web Push. */
export type WebPushState = { state: WebPushAddressState; vapid_key: string | null };

/** `secret` is in this answer only; check signatures with it (standardwebhooks.com). */
export type WebhookCreated = { id: string; secret: string };

export type WebhookRequest = { events: string[]; url: string };

export type WebhookView = { created_at: string; events: string[]; id: string; url: string };

export type Words = { en: string; vi: string };

export type documents_routes_ChangeView = { at: string; detail: { [name: string]: any }; document: string; kind: string; seq: number; state: string; tombstone: boolean };

export type meetings_words_ChangeView = { after: string; before: string; field: string; name: string; name_en: string };

export type notices_routes_NextStep = { at: string; target: string };

export type onestop_routes_NextStep = { handled?: boolean; promised?: string | null; sequence: number; step: StepCode; unit: string };

export type Operation =
  | { name: "findAgencies"; method: "GET"; path: `/api/v1/agencies`; body: undefined; answer: AgenciesView }
  | { name: "announce"; method: "POST"; path: `/api/v1/announcements`; body: AnnouncementRequest; answer: AnnouncementAnswer }
  | { name: "readAnnouncement"; method: "GET"; path: `/api/v1/announcements/${string}`; body: undefined; answer: AnnouncementView }
  | { name: "withdrawAnnouncement"; method: "POST"; path: `/api/v1/announcements/${string}/withdrawal`; body: undefined; answer: null }
  | { name: "approve"; method: "POST"; path: `/api/v1/approvals`; body: ApprovalRequest; answer: ApprovalAnswer }
  | { name: "readApproval"; method: "GET"; path: `/api/v1/approvals/${string}`; body: undefined; answer: ApprovalProgress }
  | { name: "listArrivals"; method: "GET"; path: `/api/v1/arrivals`; body: undefined; answer: ArrivalPage }
  | { name: "readArrival"; method: "GET"; path: `/api/v1/arrivals/${string}`; body: undefined; answer: ArrivalView }
  | { name: "answerArrival"; method: "POST"; path: `/api/v1/arrivals/${string}/answer`; body: AnswerBody; answer: Decided }
  | { name: "fetchArrivalFile"; method: "GET"; path: `/api/v1/arrivals/${string}/files/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "readArrivalManifest"; method: "GET"; path: `/api/v1/arrivals/${string}/files/${string}/manifest`; body: undefined; answer: RevisionManifest }
  | { name: "fetchArrivalPage"; method: "GET"; path: `/api/v1/arrivals/${string}/files/${string}/pages/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "readArrivalValidation"; method: "GET"; path: `/api/v1/arrivals/${string}/files/${string}/validation`; body: undefined; answer: Report }
  | { name: "numberArrival"; method: "PUT"; path: `/api/v1/arrivals/${string}/own-number`; body: OwnNumber; answer: null }
  | { name: "exportArrivalRecord"; method: "GET"; path: `/api/v1/arrivals/${string}/record`; body: undefined; answer: ArrayBuffer }
  | { name: "registerArrival"; method: "POST"; path: `/api/v1/arrivals/${string}/register`; body: RegisterBody; answer: Registered }
  | { name: "returnArrival"; method: "POST"; path: `/api/v1/arrivals/${string}/return`; body: ReturnBody; answer: Decided }
  | { name: "readChanges"; method: "GET"; path: `/api/v1/changes`; body: undefined; answer: ChangesPage }
  | { name: "listClients"; method: "GET"; path: `/api/v1/clients`; body: undefined; answer: ClientAnswer[] }
  | { name: "createClient"; method: "POST"; path: `/api/v1/clients`; body: CreateClientRequest; answer: ClientCreated }
  | { name: "revokeClient"; method: "DELETE"; path: `/api/v1/clients/${string}`; body: undefined; answer: null }
  | { name: "listCredentials"; method: "GET"; path: `/api/v1/credentials`; body: undefined; answer: HeldView[] }
  | { name: "listPendingCredentials"; method: "GET"; path: `/api/v1/credentials/pending`; body: undefined; answer: PendingView[] }
  | { name: "importCertificate"; method: "POST"; path: `/api/v1/credentials/${string}/certificate`; body: CertificateRequest; answer: null }
  | { name: "askChallenge"; method: "POST"; path: `/api/v1/credentials/${string}/challenge`; body: undefined; answer: { [name: string]: any } }
  | { name: "listAwaitingDevices"; method: "GET"; path: `/api/v1/devices/awaiting-voucher`; body: undefined; answer: AwaitingDevice[] }
  | { name: "revokeDevice"; method: "POST"; path: `/api/v1/devices/${string}/revocation`; body: undefined; answer: DeviceAnswer }
  | { name: "listDirectives"; method: "GET"; path: `/api/v1/directives`; body: undefined; answer: DirectivePage }
  | { name: "giveDirective"; method: "POST"; path: `/api/v1/directives`; body: NewDirective; answer: DirectiveAnswer }
  | { name: "listDirectiveUnits"; method: "GET"; path: `/api/v1/directives/units`; body: undefined; answer: DirectiveUnit[] }
  | { name: "readDirective"; method: "GET"; path: `/api/v1/directives/${string}`; body: undefined; answer: DirectiveView }
  | { name: "changeDirective"; method: "POST"; path: `/api/v1/directives/${string}/changes`; body: DirectiveChange; answer: DirectiveAnswer }
  | { name: "linkDirectiveDocument"; method: "POST"; path: `/api/v1/directives/${string}/documents`; body: CausedDocument; answer: DirectiveAnswer }
  | { name: "fetchDirectiveFile"; method: "GET"; path: `/api/v1/directives/${string}/files/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "readDirectiveManifest"; method: "GET"; path: `/api/v1/directives/${string}/files/${string}/manifest`; body: undefined; answer: RevisionManifest }
  | { name: "fetchDirectivePage"; method: "GET"; path: `/api/v1/directives/${string}/files/${string}/pages/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "reportDirective"; method: "POST"; path: `/api/v1/directives/${string}/reports`; body: DirectiveReport; answer: DirectiveAnswer }
  | { name: "withdrawDirective"; method: "POST"; path: `/api/v1/directives/${string}/withdrawal`; body: DirectiveWithdrawal; answer: DirectiveAnswer }
  | { name: "listDocuments"; method: "GET"; path: `/api/v1/documents`; body: undefined; answer: DocumentPage }
  | { name: "takeInDocument"; method: "POST"; path: `/api/v1/documents`; body: ArrayBuffer; answer: IntakeAnswer }
  | { name: "readDocument"; method: "GET"; path: `/api/v1/documents/${string}`; body: undefined; answer: DocumentView }
  | { name: "readDeliveries"; method: "GET"; path: `/api/v1/documents/${string}/deliveries`; body: undefined; answer: DeliveriesView }
  | { name: "fetchFile"; method: "GET"; path: `/api/v1/documents/${string}/files/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "handOverStep"; method: "POST"; path: `/api/v1/documents/${string}/hand-over`; body: HandOver; answer: StateView }
  | { name: "recallDocument"; method: "POST"; path: `/api/v1/documents/${string}/recall`; body: Reason; answer: StateView }
  | { name: "listReceipts"; method: "GET"; path: `/api/v1/documents/${string}/receipts`; body: undefined; answer: ReceiptLine[] }
  | { name: "readReceipt"; method: "GET"; path: `/api/v1/documents/${string}/receipts/${string}`; body: undefined; answer: Receipt }
  | { name: "changeReceivers"; method: "POST"; path: `/api/v1/documents/${string}/receivers`; body: ChangeReceivers; answer: ReceiversChanged }
  | { name: "exportRecord"; method: "GET"; path: `/api/v1/documents/${string}/record`; body: undefined; answer: ArrayBuffer }
  | { name: "replaceDocument"; method: "POST"; path: `/api/v1/documents/${string}/replacements`; body: ArrayBuffer; answer: IntakeAnswer }
  | { name: "returnDocument"; method: "POST"; path: `/api/v1/documents/${string}/return`; body: Reason; answer: StateView }
  | { name: "readManifest"; method: "GET"; path: `/api/v1/documents/${string}/revisions/${string}/manifest`; body: undefined; answer: RevisionManifest }
  | { name: "reportOpenings"; method: "POST"; path: `/api/v1/documents/${string}/revisions/${string}/openings`; body: ShownPages; answer: Counted }
  | { name: "fetchPage"; method: "GET"; path: `/api/v1/documents/${string}/revisions/${string}/pages/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "openSheet"; method: "POST"; path: `/api/v1/documents/${string}/sheet`; body: undefined; answer: SheetView }
  | { name: "listEscalations"; method: "GET"; path: `/api/v1/escalations`; body: undefined; answer: ChainPage }
  | { name: "listAuthority"; method: "GET"; path: `/api/v1/grants`; body: undefined; answer: GrantPage }
  | { name: "giveAuthority"; method: "POST"; path: `/api/v1/grants`; body: GrantRequest; answer: GrantAnswer }
  | { name: "readAuthority"; method: "GET"; path: `/api/v1/grants/${string}`; body: undefined; answer: GrantView }
  | { name: "revokeAuthority"; method: "POST"; path: `/api/v1/grants/${string}/revocation`; body: undefined; answer: null }
  | { name: "readInbox"; method: "GET"; path: `/api/v1/inbox`; body: undefined; answer: InboxPage }
  | { name: "followLive"; method: "GET"; path: `/api/v1/live`; body: undefined; answer: ArrayBuffer }
  | { name: "readLogHead"; method: "GET"; path: `/api/v1/log/head`; body: undefined; answer: LogHeadView }
  | { name: "getMe"; method: "GET"; path: `/api/v1/me`; body: undefined; answer: MeAnswer }
  | { name: "endAbsence"; method: "DELETE"; path: `/api/v1/me/absence`; body: undefined; answer: null }
  | { name: "setAbsence"; method: "PUT"; path: `/api/v1/me/absence`; body: Absence; answer: null }
  | { name: "endCalendar"; method: "DELETE"; path: `/api/v1/me/calendar`; body: undefined; answer: null }
  | { name: "readCalendar"; method: "GET"; path: `/api/v1/me/calendar`; body: undefined; answer: FeedView | null }
  | { name: "openCalendar"; method: "POST"; path: `/api/v1/me/calendar`; body: undefined; answer: FeedAddress }
  | { name: "listMyCredentials"; method: "GET"; path: `/api/v1/me/credentials`; body: undefined; answer: CredentialView[] }
  | { name: "readTries"; method: "GET"; path: `/api/v1/me/credentials/${string}/tries`; body: undefined; answer: TriesView }
  | { name: "listMyDevices"; method: "GET"; path: `/api/v1/me/devices`; body: undefined; answer: DeviceAnswer[] }
  | { name: "listEnrolments"; method: "GET"; path: `/api/v1/me/enrolments`; body: undefined; answer: EnrolmentView[] }
  | { name: "enrol"; method: "POST"; path: `/api/v1/me/enrolments/${string}`; body: EnrolmentRequest; answer: EnrolmentAnswer }
  | { name: "addDevice"; method: "POST"; path: `/api/v1/me/enrolments/${string}/device`; body: ApprovalWithPin; answer: null }
  | { name: "listHandovers"; method: "GET"; path: `/api/v1/me/handovers`; body: undefined; answer: HandoverView[] }
  | { name: "handOver"; method: "POST"; path: `/api/v1/me/handovers/${string}`; body: ApprovalWithPin; answer: null }
  | { name: "freezeMyKey"; method: "PUT"; path: `/api/v1/me/key-freeze`; body: undefined; answer: null }
  | { name: "readNoticeSettings"; method: "GET"; path: `/api/v1/me/notice-settings`; body: undefined; answer: OwnView }
  | { name: "setNoticeSettings"; method: "PUT"; path: `/api/v1/me/notice-settings`; body: NoticeSettings; answer: null }
  | { name: "createMyPairingCode"; method: "POST"; path: `/api/v1/me/pairing-codes`; body: undefined; answer: PairingCodeAnswer }
  | { name: "changePin"; method: "POST"; path: `/api/v1/me/pin`; body: ApprovalWithPin; answer: null }
  | { name: "deleteFcmAddress"; method: "DELETE"; path: `/api/v1/me/push-addresses/fcm`; body: undefined; answer: null }
  | { name: "putFcmAddress"; method: "PUT"; path: `/api/v1/me/push-addresses/fcm`; body: FcmAddress; answer: null }
  | { name: "deleteWebPushAddress"; method: "DELETE"; path: `/api/v1/me/push-addresses/webpush`; body: undefined; answer: null }
  | { name: "getWebPushAddress"; method: "GET"; path: `/api/v1/me/push-addresses/webpush`; body: undefined; answer: WebPushState }
  | { name: "putWebPushAddress"; method: "PUT"; path: `/api/v1/me/push-addresses/webpush`; body: WebPushAddress; answer: null }
  | { name: "activateWebPushAddress"; method: "POST"; path: `/api/v1/me/push-addresses/webpush/activation`; body: WebPushActivation; answer: null }
  | { name: "deleteSignatureImage"; method: "DELETE"; path: `/api/v1/me/signature-image`; body: undefined; answer: null }
  | { name: "putSignatureImage"; method: "PUT"; path: `/api/v1/me/signature-image`; body: ArrayBuffer; answer: StampImageView }
  | { name: "listMeetings"; method: "GET"; path: `/api/v1/meetings`; body: undefined; answer: MeetingPage }
  | { name: "conveneMeeting"; method: "POST"; path: `/api/v1/meetings`; body: Convening; answer: MeetingAnswer }
  | { name: "findGuests"; method: "GET"; path: `/api/v1/meetings/guests`; body: undefined; answer: GuestView[] }
  | { name: "readMeeting"; method: "GET"; path: `/api/v1/meetings/${string}`; body: undefined; answer: MeetingView }
  | { name: "answerMeeting"; method: "POST"; path: `/api/v1/meetings/${string}/answer`; body: Reply; answer: MeetingAnswer }
  | { name: "checkIn"; method: "POST"; path: `/api/v1/meetings/${string}/attendance`; body: Attendance; answer: null }
  | { name: "cancelMeeting"; method: "POST"; path: `/api/v1/meetings/${string}/cancellation`; body: Cancellation; answer: MeetingAnswer }
  | { name: "changeMeeting"; method: "POST"; path: `/api/v1/meetings/${string}/changes`; body: Rescheduling; answer: MeetingAnswer }
  | { name: "fetchInvitation"; method: "GET"; path: `/api/v1/meetings/${string}/invitation`; body: undefined; answer: ArrayBuffer }
  | { name: "putPaper"; method: "POST"; path: `/api/v1/meetings/${string}/papers`; body: ArrayBuffer; answer: PaperAnswer }
  | { name: "fetchPaper"; method: "GET"; path: `/api/v1/meetings/${string}/papers/${string}/revisions/${string}/file`; body: undefined; answer: ArrayBuffer }
  | { name: "readPaperManifest"; method: "GET"; path: `/api/v1/meetings/${string}/papers/${string}/revisions/${string}/manifest`; body: undefined; answer: RevisionManifest }
  | { name: "fetchPaperPage"; method: "GET"; path: `/api/v1/meetings/${string}/papers/${string}/revisions/${string}/pages/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "exportAttendance"; method: "GET"; path: `/api/v1/meetings/${string}/report`; body: undefined; answer: ArrayBuffer }
  | { name: "readNoticeRules"; method: "GET"; path: `/api/v1/notice-rules`; body: undefined; answer: RulesView }
  | { name: "setNoticeRules"; method: "PUT"; path: `/api/v1/notice-rules`; body: RulesRequest; answer: null }
  | { name: "listNotices"; method: "GET"; path: `/api/v1/notices`; body: undefined; answer: NoticePage }
  | { name: "fetchNotice"; method: "GET"; path: `/api/v1/notices/${string}`; body: undefined; answer: NoticeView }
  | { name: "acknowledgeNotice"; method: "POST"; path: `/api/v1/notices/${string}/acknowledgement`; body: undefined; answer: null }
  | { name: "whoWasTold"; method: "GET"; path: `/api/v1/notices/${string}/told`; body: undefined; answer: ToldView }
  | { name: "issueToken"; method: "POST"; path: `/api/v1/oauth/token`; body: { client_id?: string; client_secret?: string; grant_type: "client_credentials" | "refresh_token"; refresh_token?: string; scope?: string }; answer: TokenAnswer }
  | { name: "openDossier"; method: "POST"; path: `/api/v1/onestop/dossiers`; body: NewDossier; answer: DossierAnswer }
  | { name: "readDossier"; method: "GET"; path: `/api/v1/onestop/dossiers/${string}`; body: undefined; answer: DossierView }
  | { name: "relinkDossier"; method: "POST"; path: `/api/v1/onestop/dossiers/${string}/link`; body: undefined; answer: DossierAnswer }
  | { name: "advanceDossier"; method: "POST"; path: `/api/v1/onestop/dossiers/${string}/steps`; body: onestop_routes_NextStep; answer: DossierAnswer }
  | { name: "listUnits"; method: "GET"; path: `/api/v1/onestop/units`; body: undefined; answer: UnitView[] }
  | { name: "putUnit"; method: "PUT"; path: `/api/v1/onestop/units/${string}`; body: UnitRequest; answer: null }
  | { name: "deleteSealImage"; method: "DELETE"; path: `/api/v1/organisation/seal-image`; body: undefined; answer: null }
  | { name: "putSealImage"; method: "PUT"; path: `/api/v1/organisation/seal-image`; body: ArrayBuffer; answer: StampImageView }
  | { name: "readOverview"; method: "GET"; path: `/api/v1/overview`; body: undefined; answer: Overview }
  | { name: "redeemPairing"; method: "POST"; path: `/api/v1/pairings/redeem`; body: RedeemRequest; answer: SessionAnswer }
  | { name: "listPeople"; method: "GET"; path: `/api/v1/people`; body: undefined; answer: PeoplePage }
  | { name: "createPerson"; method: "POST"; path: `/api/v1/people`; body: CreatePersonRequest; answer: PersonAnswer }
  | { name: "endPerson"; method: "DELETE"; path: `/api/v1/people/${string}`; body: undefined; answer: null }
  | { name: "getPerson"; method: "GET"; path: `/api/v1/people/${string}`; body: undefined; answer: PersonAnswer }
  | { name: "listDevicesOfPerson"; method: "GET"; path: `/api/v1/people/${string}/devices`; body: undefined; answer: DeviceAnswer[] }
  | { name: "unfreezeKey"; method: "DELETE"; path: `/api/v1/people/${string}/key-freeze`; body: undefined; answer: null }
  | { name: "freezeKey"; method: "PUT"; path: `/api/v1/people/${string}/key-freeze`; body: undefined; answer: null }
  | { name: "createPairingCode"; method: "POST"; path: `/api/v1/people/${string}/pairing-codes`; body: PairingCodeRequest; answer: PairingCodeAnswer }
  | { name: "withdrawRole"; method: "DELETE"; path: `/api/v1/people/${string}/roles/${string}`; body: undefined; answer: null }
  | { name: "grantRole"; method: "PUT"; path: `/api/v1/people/${string}/roles/${string}`; body: undefined; answer: null }
  | { name: "fetchPreparedImage"; method: "GET"; path: `/api/v1/prepared/${string}/images/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "readPreparedManifest"; method: "GET"; path: `/api/v1/prepared/${string}/manifest`; body: undefined; answer: PreparedManifest }
  | { name: "reportPurges"; method: "POST"; path: `/api/v1/purges`; body: Purged; answer: PurgesKept }
  | { name: "reportReceipts"; method: "POST"; path: `/api/v1/receipts`; body: DeviceReports; answer: Recorded }
  | { name: "readReport"; method: "GET"; path: `/api/v1/reports`; body: undefined; answer: ReportView }
  | { name: "drawChart"; method: "GET"; path: `/api/v1/reports/charts/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "exportReport"; method: "GET"; path: `/api/v1/reports/table`; body: undefined; answer: ArrayBuffer }
  | { name: "readSealQueue"; method: "GET"; path: `/api/v1/seal-queue`; body: undefined; answer: DocumentPage }
  | { name: "resumeSession"; method: "POST"; path: `/api/v1/sessions`; body: ResumeRequest; answer: SessionAnswer }
  | { name: "endSession"; method: "DELETE"; path: `/api/v1/sessions/current`; body: undefined; answer: null }
  | { name: "readSealingKey"; method: "GET"; path: `/api/v1/signer/sealing-key`; body: undefined; answer: SealingKeyView }
  | { name: "validateFile"; method: "POST"; path: `/api/v1/validations`; body: ArrayBuffer; answer: Report }
  | { name: "carryVoucher"; method: "POST"; path: `/api/v1/vouchers`; body: VoucherRequest; answer: VoucherAnswer }
  | { name: "listWebhooks"; method: "GET"; path: `/api/v1/webhooks`; body: undefined; answer: WebhookView[] }
  | { name: "registerWebhook"; method: "POST"; path: `/api/v1/webhooks`; body: WebhookRequest; answer: WebhookCreated }
  | { name: "endWebhook"; method: "DELETE"; path: `/api/v1/webhooks/${string}`; body: undefined; answer: null }
  | { name: "listDeadLetters"; method: "GET"; path: `/api/v1/webhooks/${string}/dead-letters`; body: undefined; answer: DeadLetterPage }
  | { name: "retryDeadLetters"; method: "POST"; path: `/api/v1/webhooks/${string}/dead-letters/retry`; body: Resending; answer: Resent }
  | { name: "fetchCalendar"; method: "GET"; path: `/calendar/${string}`; body: undefined; answer: ArrayBuffer }
  | { name: "livez"; method: "GET"; path: `/livez`; body: undefined; answer: { [name: string]: string } }
  | { name: "metrics"; method: "GET"; path: `/metrics`; body: undefined; answer: ArrayBuffer }
  | { name: "readProblem"; method: "GET"; path: `/problems/${string}`; body: undefined; answer: Problem }
  | { name: "readyz"; method: "GET"; path: `/readyz`; body: undefined; answer: { [name: string]: string } };

type Bare<Path> = Path extends `${infer Before}?${string}` ? Before : Path;
type Found<Method, Path, One = Operation> = One extends { method: Method; path: infer Known }
  ? [Path] extends [Known] ? [Known] extends [Path] ? One : never : never
  : never;
type Called<Method, Path> = Path extends unknown ? Found<Method, Bare<Path>> : never;
/** What an operation answers with; `never` for a path of none. */
export type AnswerOf<Method, Path> = Called<Method, Path>["answer"];
export type BodyOf<Method, Path> = Called<Method, Path>["body"];
type Paths<One> = One extends { path: infer Path extends string } ? Path | `${Path}?${string}` : never;
/** Paths as they are called, as far as a type can tell: one identifier may hide several parts. */
export type PathOf<Method> = Paths<Extract<Operation, { method: Method }>>;
