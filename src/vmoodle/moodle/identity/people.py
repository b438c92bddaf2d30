"""What of a Moodle site goes when its people go: declared by column, with the rows that hang on.

The rule is Moodle's own for a course backup without users (backup/moodle2, setting `users`):
courses and activities stay, what people did in them goes. What kept accounts did stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    """Say what becomes of a row that names somebody who is removed."""

    DELETE = "the row goes"
    DELETE_UNKNOWN = "the row goes, also where it names nobody"
    REASSIGN = "the row stays, in the administrator's name"
    FORGET = "the row stays and names nobody"
    KEEP = "no account is meant, or another rule takes care"


@dataclass(frozen=True)
class Bound:
    """Declare the fate of rows by one column; `where` first, in SQL, where not all rows matter."""

    table: str
    column: str
    fate: Fate
    reason: str
    where: str = ""


@dataclass(frozen=True)
class Orphan:
    """Declare rows that go when the row they hang on is gone; a number below 1 hangs on nothing."""

    table: str
    column: str
    parent: str
    reason: str
    where: str = ""
    parent_column: str = "id"


# By the name of the column alone, also in tables of plugins nobody listed.
FATE_BY_COLUMN: dict[str, Fate] = {
    "userid": Fate.DELETE,
    "useridfrom": Fate.DELETE,
    "useridto": Fate.DELETE,
    "usermodified": Fate.REASSIGN,
    "usercreated": Fate.REASSIGN,
    "createdby": Fate.REASSIGN,
    "modifiedby": Fate.REASSIGN,
    "modifierid": Fate.REASSIGN,
    "creatorid": Fate.REASSIGN,
    "ownerid": Fate.REASSIGN,
    "loggeduser": Fate.REASSIGN,
    "actionuserid": Fate.REASSIGN,
    "userviewas": Fate.REASSIGN,
    "grader": Fate.REASSIGN,
    "reviewerid": Fate.REASSIGN,
    "relateduserid": Fate.DELETE,
    "realuserid": Fate.DELETE,
    "recipientuserid": Fate.DELETE,
    "owneruserid": Fate.DELETE,
    "requestedby": Fate.DELETE,
    "overrideby": Fate.FORGET,
    "gradeoverby": Fate.FORGET,
    "gradinggradeoverby": Fate.FORGET,
    "allocatedmarker": Fate.FORGET,
    "tiuserid": Fate.DELETE,
    "dpo": Fate.FORGET,
}

_MADE_FOR_ALL = "was made for everybody"
_TWO_SIDES = "needs both people"
_BY_SOMEBODY = "was done by somebody"
_ALL_ANSWERS = "answers of groups and of the anonymous go too"

BOUND: tuple[Bound, ...] = (
    Bound("event", "userid", Fate.DELETE, "is in somebody's own calendar", "eventtype = 'user'"),
    Bound("event", "userid", Fate.REASSIGN, "is in the calendar of a course or the site"),
    Bound("event_subscriptions", "userid", Fate.DELETE, "is somebody's own", "eventtype = 'user'"),
    Bound("event_subscriptions", "userid", Fate.REASSIGN, "is of a course or the site"),
    Bound("files", "userid", Fate.REASSIGN, "files go with the context they are in"),
    Bound("scale", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("scale_history", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("tag", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("block_rss_client", "userid", Fate.REASSIGN, "is a feed that blocks of courses show"),
    Bound("adminpresets", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("adminpresets_app", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("tool_monitor_rules", "userid", Fate.REASSIGN, _MADE_FOR_ALL),
    Bound("question_attempt_steps", "userid", Fate.REASSIGN, "goes with its attempt"),
    Bound("task_adhoc", "userid", Fate.DELETE, "runs in somebody's name"),
    Bound("course_request", "requester", Fate.DELETE, _BY_SOMEBODY),
    Bound("grading_instances", "raterid", Fate.DELETE, _BY_SOMEBODY),
    Bound("grade_import_newitem", "importer", Fate.DELETE, _BY_SOMEBODY),
    Bound("grade_import_values", "importer", Fate.DELETE, _BY_SOMEBODY),
    Bound("badge_manual_award", "recipientid", Fate.DELETE, _BY_SOMEBODY),
    Bound("badge_manual_award", "issuerid", Fate.REASSIGN, _BY_SOMEBODY),
    Bound("workshop_submissions", "authorid", Fate.DELETE, _BY_SOMEBODY),
    Bound("workshop_assessments", "reviewerid", Fate.DELETE, _BY_SOMEBODY),
    Bound("assign_submission", "userid", Fate.DELETE_UNKNOWN, _ALL_ANSWERS),
    Bound("feedback_completed", "userid", Fate.DELETE_UNKNOWN, _ALL_ANSWERS),
    Bound("feedback_completedtmp", "userid", Fate.DELETE_UNKNOWN, _ALL_ANSWERS),
    Bound("wiki_pages", "userid", Fate.DELETE_UNKNOWN, _BY_SOMEBODY),
    Bound("message_contacts", "contactid", Fate.DELETE, _TWO_SIDES),
    Bound("message_contact_requests", "requesteduserid", Fate.DELETE, _TWO_SIDES),
    Bound("message_users_blocked", "blockeduserid", Fate.DELETE, _TWO_SIDES),
    Bound("tool_brickfield_areas", "userid", Fate.KEEP, "is about content"),
    Bound("competency_usercomp", "reviewerid", Fate.FORGET, "the review is over"),
    Bound("competency_plan", "reviewerid", Fate.FORGET, "the review is over"),
    Bound("external_services_users", "userid", Fate.DELETE, "lets somebody use a service"),
    Bound("mnet_sso_access_control", "username", Fate.KEEP, "is emptied below, by name"),
)

EMPTIED: tuple[tuple[str, str], ...] = (
    ("mnet_sso_access_control", "names people"),
    ("mnetservice_enrol_enrolments", "names people elsewhere"),
    ("enrol_flatfile", "names people to enrol"),
    ("quiz_statistics", "was counted from attempts that are gone"),
    ("question_statistics", "was counted from attempts that are gone"),
    ("question_response_analysis", "holds answers"),
    ("question_response_count", "holds answers"),
    ("survey_analysis", "is about answers that are gone"),
    ("backup_controllers", "is somebody's backup"),
    ("tool_recyclebin_course", "is a deleted activity, with what people did in it"),
    ("tool_recyclebin_category", "is a deleted course, with its people"),
)

ORPHANS: tuple[Orphan, ...] = (
    Orphan("assignsubmission_onlinetext", "submission", "assign_submission", "its text"),
    Orphan("assignsubmission_file", "submission", "assign_submission", "its files"),
    Orphan("assignfeedback_comments", "grade", "assign_grades", "its comment"),
    Orphan("assignfeedback_file", "grade", "assign_grades", "its files"),
    Orphan("assignfeedback_editpdf_annot", "gradeid", "assign_grades", "its marks"),
    Orphan("assignfeedback_editpdf_cmnt", "gradeid", "assign_grades", "its comments"),
    Orphan("assignfeedback_editpdf_rot", "gradeid", "assign_grades", "its pages"),
    Orphan("badge_criteria_met", "issuedid", "badge_issued", "how it was earned"),
    Orphan("blog_association", "blogid", "post", "what it was about"),
    Orphan("competency_evidence", "usercompetencyid", "competency_usercomp", "its evidence"),
    Orphan("competency_plancomp", "planid", "competency_plan", "its parts"),
    Orphan(
        "competency_userevidencecomp", "userevidenceid", "competency_userevidence", "its parts"
    ),
    Orphan("data_content", "recordid", "data_records", "its fields"),
    Orphan("feedback_value", "completed", "feedback_completed", "its answers"),
    Orphan("feedback_valuetmp", "completed", "feedback_completedtmp", "its answers"),
    Orphan("forum_posts", "discussion", "forum_discussions", "its posts"),
    Orphan("forum_discussion_subs", "discussion", "forum_discussions", "who follows it"),
    Orphan("forum_queue", "postid", "forum_posts", "its mails"),
    Orphan("forum_read", "postid", "forum_posts", "who read it"),
    Orphan("glossary_alias", "entryid", "glossary_entries", "its other words"),
    Orphan("glossary_entries_categories", "entryid", "glossary_entries", "its categories"),
    Orphan("gradingform_rubric_fillings", "instanceid", "grading_instances", "its levels"),
    Orphan("gradingform_guide_fillings", "instanceid", "grading_instances", "its remarks"),
    Orphan("h5pactivity_attempts_results", "attemptid", "h5pactivity_attempts", "its answers"),
    Orphan("message_popup_notifications", "notificationid", "notifications", "its sign"),
    Orphan("portfolio_tempdata", "instance", "portfolio_instance", "its data"),
    Orphan("question_usages", "id", "quiz_attempts", "its questions",
           "component = 'mod_quiz'", "uniqueid"),
    Orphan("question_attempts", "questionusageid", "question_usages", "its questions"),
    Orphan("quiz_overview_regrades", "questionusageid", "question_usages", "its new grades"),
    Orphan("question_attempt_steps", "questionattemptid", "question_attempts", "its steps"),
    Orphan("question_attempt_step_data", "attemptstepid", "question_attempt_steps", "its data"),
    Orphan("repository_instance_config", "instanceid", "repository_instances", "its settings"),
    Orphan("scorm_scoes_value", "attemptid", "scorm_attempt", "its values"),
    Orphan("tool_dataprivacy_rqst_ctxlst", "requestid", "tool_dataprivacy_request", "its parts"),
    Orphan(
        "tool_dataprivacy_ctxlst_ctx", "contextlistid", "tool_dataprivacy_contextlist", "its parts"
    ),
    Orphan("wiki_versions", "pageid", "wiki_pages", "its versions"),
    Orphan("wiki_links", "frompageid", "wiki_pages", "its links"),
    Orphan("wiki_synonyms", "pageid", "wiki_pages", "its other names"),
    Orphan("workshop_assessments", "submissionid", "workshop_submissions", "its assessments"),
    Orphan("workshop_grades", "assessmentid", "workshop_assessments", "its grades"),
    Orphan("tag_instance", "itemid", "user", "interests", "itemtype = 'user'"),
    Orphan("tag_instance", "itemid", "post", "its tags", "itemtype = 'post'"),
    Orphan("tag_instance", "itemid", "forum_posts", "its tags", "itemtype = 'forum_posts'"),
    Orphan("tag_instance", "itemid", "wiki_pages", "its tags", "itemtype = 'wiki_pages'"),
    Orphan(
        "tag_instance", "itemid", "glossary_entries", "its tags", "itemtype = 'glossary_entries'"
    ),
    Orphan("tag_instance", "itemid", "data_records", "its tags", "itemtype = 'data_records'"),
    Orphan(
        "message_conversation_members", "conversationid", "message_conversations", "its members"
    ),
)  # fmt: skip
"""In the order in which they fall: parents first."""

# Files of what goes, by the component and file area Moodle stores them under; the item is the row.
FILES: tuple[Orphan, ...] = tuple(
    Orphan(
        "files", "itemid", parent, "its files",
        f"component = '{component}' AND filearea = '{area}'",
    )
    for component, area, parent in (
        ("assignsubmission_file", "submission_files", "assign_submission"),
        ("assignsubmission_onlinetext", "submissions_onlinetext", "assign_submission"),
        ("assignfeedback_file", "feedback_files", "assign_grades"),
        ("assignfeedback_comments", "feedback", "assign_grades"),
        ("assignfeedback_editpdf", "download", "assign_grades"),
        ("assignfeedback_editpdf", "combined", "assign_grades"),
        ("assignfeedback_editpdf", "pages", "assign_grades"),
        ("assignfeedback_editpdf", "readonlypages", "assign_grades"),
        ("mod_forum", "post", "forum_posts"),
        ("mod_forum", "attachment", "forum_posts"),
        ("mod_glossary", "entry", "glossary_entries"),
        ("mod_glossary", "attachment", "glossary_entries"),
        ("mod_data", "content", "data_content"),
        ("mod_wiki", "attachments", "wiki_subwikis"),
        ("mod_workshop", "submission_content", "workshop_submissions"),
        ("mod_workshop", "submission_attachment", "workshop_submissions"),
        ("mod_workshop", "overallfeedback_attachment", "workshop_assessments"),
        ("blog", "post", "post"),
        ("blog", "attachment", "post"),
        ("question", "response_attachments", "question_attempt_steps"),
        ("question", "response_answer", "question_attempt_steps"),
    )
)  # fmt: skip

# Components whose files are people's own, or hold what people did.
PRIVATE_COMPONENTS = ("user", "backup", "tool_recyclebin")
